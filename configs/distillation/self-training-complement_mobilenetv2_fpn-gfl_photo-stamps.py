# Self-training on unseen images: a detector without any annotation learns from
# a weak teacher, on the three quarters of the images that the teacher has not
# seen. Train the teacher first: weak-teacher_*.
_base_ = '../bombo/det_mobilenetv2_fpn-gfl_photo-stamps.py'

model = dict(weak_losses=[
    dict(type='SoftDetectionLoss', teacher='weak_teacher', box_weight=0.25)
])

train_dataloader = dict(
    dataset=dict(datasets=[
        dict(
            _base_.det_source,
            annotation_kinds=(),
            indices=list(range(200, 800)))
    ]))

teacher_name = 'weak-teacher_mobilenetv2_fpn-gfl_photo-stamps'
custom_hooks = [
    dict(
        type='TeacherHook',
        name='weak_teacher',
        config=f'configs/distillation/{teacher_name}.py',
        checkpoint=f'work_dirs/{teacher_name}/iter_300.pth')
]
