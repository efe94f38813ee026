# Self-training on unseen images of Pascal VOC: a detector without any
# annotation learns from a weak teacher, on the three quarters of det_train
# that the teacher has not seen. Train the teacher first: weak-teacher_*. Never
# trained to the end by us: there is no result.
_base_ = '../bombo/det_r18_cem-fpn_anchor_voc.py'

model = dict(weak_losses=[
    dict(
        type='SoftDetectionLoss',
        teacher='weak_teacher',
        weigh_by='anchors',
        score_weight=5e3)
])

last_images = (3442, 2227)  # of 4,589 and 2,969; the teacher has the first
rest = [
    dict(part, indices=-count)
    for part, count in zip(_base_.det_source.datasets, last_images)
]
train_dataloader = dict(
    dataset=dict(datasets=[
        dict(_base_.det_source, annotation_kinds=(), datasets=rest)
    ]))

teacher_name = 'weak-teacher_r50_cem-pafpn_anchor_voc'
custom_hooks = [
    dict(
        type='TeacherHook',
        name='weak_teacher',
        config=f'configs/distillation/{teacher_name}.py',
        checkpoint=f'work_dirs/{teacher_name}/iter_109300.pth')
] + _base_.custom_hooks
