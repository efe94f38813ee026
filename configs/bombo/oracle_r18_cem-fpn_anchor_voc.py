# Oracle: the same images, each with boxes and, as far as there is one, a mask,
# in the same two batches.
_base_ = './naive_r18_cem-fpn_anchor_voc.py'

model = dict(
    forward_groups=dict(det=['det_unmasked', 'det_masked'], seg=['seg']))

train_dataloader = dict(
    sampler=dict(source_ratio=[4, 3, 7]),
    dataset=dict(datasets=_base_.oracle_sources))
