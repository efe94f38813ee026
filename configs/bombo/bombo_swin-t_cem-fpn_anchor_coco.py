# BoMBo on COCO with the paper's network, Swin-T.
# Box-for-Mask on the images with boxes, Mask-for-Box on those with masks.
_base_ = './naive_swin-t_cem-fpn_anchor_coco.py'

model = dict(weak_losses=[
    dict(type='BoxForMaskLoss', loss_weight=1.0),
    dict(
        type='MaskForBoxLoss',
        loss_weight=1.0,
        predictor='ema',
        score_thr=0.5)
])

train_dataloader = dict(dataset=dict(datasets=_base_.weak_sources))
