# BoMBo on Pascal VOC 2012, with a GFL head. Never trained to the end by us:
# there is no result to quote.
_base_ = [
    './_base_/models/r18_fpn-gfl.py', './_base_/datasets/voc.py',
    './_base_/schedules/sgd_40k.py', './_base_/default_runtime.py'
]

model = dict(
    class_map=_base_.class_map,
    weak_losses=[
        dict(type='BoxForMaskLoss', loss_weight=1.0),
        dict(type='MaskForBoxLoss', loss_weight=1.0, predictor='ema')
    ])

default_hooks = dict(checkpoint=dict(interval=4000))

custom_hooks = [
    dict(
        type='PredictorEMAHook',
        ema_type='mmdet.ExpMomentumEMA',
        momentum=0.0002,
        gamma=2000)
]
