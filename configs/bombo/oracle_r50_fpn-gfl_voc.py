# Oracle: the same images, each with boxes and, as far as there is one, a mask.
_base_ = './naive_r50_fpn-gfl_voc.py'

train_dataloader = dict(
    sampler=dict(source_ratio=[5, 3, 8]),
    dataset=dict(datasets=_base_.oracle_sources))
