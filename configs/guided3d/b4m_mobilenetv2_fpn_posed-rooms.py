# What 3D is worth is seen beside this: Box-for-Mask on the views with boxes,
# which are all that it can use.
_base_ = './guided3d_mobilenetv2_fpn_posed-rooms.py'

model = dict(weak_losses=[dict(type='BoxForMaskLoss')])
load_pseudo_mask = dict(type='LoadPseudoMask', class_map=_base_.class_map)
train_pipeline = [
    *_base_.load, load_pseudo_mask, *_base_.geometry, _base_.pack
]
train_source = dict(
    _base_.train_source,
    annotation_kinds=('bbox', ),
    ann_file='boxes/train_4.json',
    frames='boxed',
    pipeline=train_pipeline)
train_dataloader = dict(dataset=dict(datasets=[train_source]))
