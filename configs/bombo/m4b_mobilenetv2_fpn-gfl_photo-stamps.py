# Mask-for-Box only: detection also learns from the images with masks.
_base_ = './bombo_mobilenetv2_fpn-gfl_photo-stamps.py'

model = dict(weak_losses=[
    dict(
        type='MaskForBoxLoss',
        loss_weight=1.0,
        predictor='self',
        min_area=_base_.min_area)
])
