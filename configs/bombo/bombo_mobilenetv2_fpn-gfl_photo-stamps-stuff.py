# BoMBo: Box-for-Mask on the images with boxes, Mask-for-Box on the images with
# masks.
_base_ = './naive_mobilenetv2_fpn-gfl_photo-stamps-stuff.py'

model = dict(weak_losses=[
    dict(type='BoxForMaskLoss', loss_weight=1.0),
    dict(
        type='MaskForBoxLoss',
        loss_weight=1.0,
        predictor='self',
        min_area=_base_.min_area)
])

train_dataloader = dict(dataset=dict(datasets=_base_.weak_sources))

custom_hooks = [
    dict(
        type='PseudoLabelQualityHook',
        interval=150,
        weak=_base_.quality_weak,
        truth=_base_.quality_truth)
]
