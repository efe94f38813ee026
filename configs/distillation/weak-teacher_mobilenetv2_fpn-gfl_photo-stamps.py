# The weak teacher of self-training: a detector that has seen a quarter of the
# images with boxes.
_base_ = '../bombo/det_mobilenetv2_fpn-gfl_photo-stamps.py'

train_dataloader = dict(
    dataset=dict(datasets=[dict(_base_.det_source, indices=200)]))
