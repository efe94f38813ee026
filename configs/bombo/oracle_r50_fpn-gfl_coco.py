# Oracle: the same images, each with boxes and mask.
_base_ = './naive_r50_fpn-gfl_coco.py'

train_dataloader = dict(dataset=dict(datasets=_base_.oracle_sources))
