# Mask-for-Box only: detection also learns from the images with masks.
_base_ = './bombo_r50_fpn-gfl_coco.py'

model = dict(weak_losses=[
    dict(
        type='MaskForBoxLoss',
        loss_weight=1.0,
        predictor='self')
])
