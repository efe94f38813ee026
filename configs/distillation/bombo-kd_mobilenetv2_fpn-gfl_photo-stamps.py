# BoMBo and teachers: what an image is not annotated for is learned from its
# other annotation and from a teacher.
_base_ = '../bombo/bombo_mobilenetv2_fpn-gfl_photo-stamps.py'

model = dict(weak_losses=[
    *_base_.model.weak_losses,
    dict(type='SoftDetectionLoss', teacher='det_teacher', box_weight=0.25),
    dict(type='SegmentationKLLoss', teacher='seg_teacher')
])

det_name = 'det_mobilenetv2_fpn-gfl_photo-stamps'
seg_name = 'seg_mobilenetv2_fpn-gfl_photo-stamps'
custom_hooks = [
    dict(
        type='TeacherHook',
        name='det_teacher',
        config=f'configs/bombo/{det_name}.py',
        checkpoint=f'work_dirs/{det_name}/iter_300.pth'),
    dict(
        type='TeacherHook',
        name='seg_teacher',
        config=f'configs/bombo/{seg_name}.py',
        checkpoint=f'work_dirs/{seg_name}/iter_300.pth')
] + _base_.custom_hooks
