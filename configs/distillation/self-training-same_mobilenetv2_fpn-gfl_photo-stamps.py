# Self-training on the images that the weak teacher has seen: what is left of
# the gain when no image is new.
_base_ = './self-training-complement_mobilenetv2_fpn-gfl_photo-stamps.py'

train_dataloader = dict(
    dataset=dict(datasets=[
        dict(_base_.det_source, annotation_kinds=(), indices=200)
    ]))
