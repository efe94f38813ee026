# Oracle: the same images, each with boxes and mask, in the same two batches.
_base_ = './naive_r18_cem-fpn_anchor_coco.py'

model = dict(forward_groups=dict(det=['det'], seg=['seg']))

train_dataloader = dict(dataset=dict(datasets=_base_.oracle_sources))
