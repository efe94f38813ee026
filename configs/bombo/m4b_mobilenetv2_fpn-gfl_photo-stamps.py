# Mask-for-Box only: detection also learns from the images with masks. Training
# makes no pseudo mask; PseudoLabelQualityHook makes those that it judges.
_base_ = './bombo_mobilenetv2_fpn-gfl_photo-stamps.py'

model = dict(weak_losses=[
    dict(
        type='MaskForBoxLoss',
        loss_weight=1.0,
        predictor='self',
        min_area=_base_.min_area)
])

train_dataloader = dict(
    dataset=dict(datasets=[_base_.det_source, _base_.weak_sources[1]]))
