# Oracle: the same images, each with boxes and, as far as there is one, a mask.
_base_ = './naive_swin-t_cem-fpn_anchor_voc.py'

train_dataloader = dict(
    sampler=dict(source_ratio=[4, 3, 7]),
    dataset=dict(datasets=_base_.oracle_sources))
