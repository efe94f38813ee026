# Self-training on all images, those that the weak teacher has seen included.
_base_ = './self-training-complement_mobilenetv2_fpn-gfl_photo-stamps.py'

train_dataloader = dict(
    dataset=dict(datasets=[dict(_base_.det_source, annotation_kinds=())]))
