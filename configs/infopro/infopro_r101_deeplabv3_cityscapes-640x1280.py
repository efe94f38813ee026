# InfoPro on Cityscapes as published: larger crops, in less memory than those
# of 512 x 1024 pixels need otherwise.
_base_ = './infopro_r101_deeplabv3_cityscapes-512x1024.py'

crop_size = (640, 1280)
model = dict(
    data_preprocessor=dict(size=crop_size), backbone=dict(rec_weight=2.0))
train_pipeline = [
    *_base_.load, _base_.random_resize,
    dict(_base_.random_crop, crop_size=crop_size), *_base_.finish
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.015))
