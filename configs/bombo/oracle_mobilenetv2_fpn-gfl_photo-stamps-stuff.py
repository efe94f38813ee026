# Oracle: the same images, each with boxes and mask.
_base_ = './naive_mobilenetv2_fpn-gfl_photo-stamps-stuff.py'

train_dataloader = dict(dataset=dict(datasets=_base_.oracle_sources))
