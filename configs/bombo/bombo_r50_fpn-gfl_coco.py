# BoMBo on COCO with ResNet-50, FPN and GFL.
# Box-for-Mask on the images with boxes, Mask-for-Box on those with masks.
_base_ = './naive_r50_fpn-gfl_coco.py'

model = dict(weak_losses=[
    dict(type='BoxForMaskLoss', loss_weight=1.0),
    dict(
        type='MaskForBoxLoss',
        loss_weight=1.0,
        predictor='self')
])

train_dataloader = dict(dataset=dict(datasets=_base_.weak_sources))
