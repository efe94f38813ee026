# The moving average of the network teaches both tasks: no second network has
# to be trained. It is also what is evaluated and saved.
_base_ = '../bombo/naive_mobilenetv2_fpn-gfl_photo-stamps.py'

model = dict(weak_losses=[
    dict(
        type='SoftDetectionLoss', teacher='ema', box_weight=0.25, ramp=0.3),
    dict(type='SegmentationKLLoss', teacher='ema', ramp=0.3)
])

custom_hooks = [
    dict(
        type='PredictorEMAHook',
        ema_type='mmdet.ExpMomentumEMA',
        momentum=0.02,
        gamma=20)
]
