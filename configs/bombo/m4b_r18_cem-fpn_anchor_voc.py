# Mask-for-Box only: detection also learns from the images with masks. No
# pseudo mask is made.
_base_ = './bombo_r18_cem-fpn_anchor_voc.py'

model = dict(weak_losses=[
    dict(
        type='MaskForBoxLoss',
        loss_weight=1.0,
        predictor='ema',
        score_thr=0.5)
])

train_dataloader = dict(
    dataset=dict(datasets=[_base_.det_source, _base_.weak_sources[1]]))
