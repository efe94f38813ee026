# E2S2 from tags: of a mask, only which classes a crop shows is read.
_base_ = './e2s2_mobilenetv2_photo-stamps.py'

model = dict(decode_head=dict(loss_decode=dict(type='MaxPixelLoss')))
train_pipeline = [
    *_base_.load, _base_.load_regions, *_base_.geometry, _base_.pack
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
custom_hooks = []
