# Knowledge distillation on Pascal VOC with the papers' networks: a student
# with ResNet-18, teachers of one task each with ResNet-50 and PAFPN. The
# weights of the detection terms are those of the authors' code. Never trained
# to the end by us: there is no result.
_base_ = '../bombo/naive_r18_cem-fpn_anchor_voc.py'

model = dict(weak_losses=[
    dict(
        type='SoftDetectionLoss',
        teacher='det_teacher',
        weigh_by='anchors',
        score_weight=5e3),
    dict(type='SegmentationKLLoss', teacher='seg_teacher')
])

det_name = 'det_r50_cem-pafpn_anchor_voc'
seg_name = 'seg_r50_cem-pafpn_anchor_voc'
custom_hooks = [
    dict(
        type='TeacherHook',
        name='det_teacher',
        config=f'configs/bombo/{det_name}.py',
        checkpoint=f'work_dirs/{det_name}/iter_109300.pth'),
    dict(
        type='TeacherHook',
        name='seg_teacher',
        config=f'configs/bombo/{seg_name}.py',
        checkpoint=f'work_dirs/{seg_name}/iter_109300.pth')
] + _base_.custom_hooks
