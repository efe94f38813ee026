# As kd-soft, without augmentation: an image always looks the same, so what the
# teachers say about it is kept on disk, and from the second epoch on no
# teacher runs. For trainings where a teacher costs more than augmentation
# gains; there is no result.
_base_ = './kd-soft_mobilenetv2_fpn-gfl_photo-stamps.py'

fixed_pipeline = [
    *_base_.train_pipeline[:2],
    # one size: the padding of a batch never changes
    dict(type='mmdet.Resize', scale=_base_.crop_size, keep_ratio=False),
    _base_.train_pipeline[-1]
]
train_dataloader = dict(
    dataset=dict(datasets=[
        dict(_base_.det_source, pipeline=fixed_pipeline),
        dict(_base_.seg_source, pipeline=fixed_pipeline)
    ]))

custom_hooks = [
    dict(teacher, cache_dir='work_dirs/teacher_answers')
    for teacher in _base_.teachers
]
