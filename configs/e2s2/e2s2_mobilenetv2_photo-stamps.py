# E2S2 on a light network. Regions are made once, and kept.
_base_ = './fpn_mobilenetv2_photo-stamps.py'

model = dict(
    _delete_=True,
    type='RegionSegmentor',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    neck=_base_.model.neck,
    decode_head=dict(
        type='RegionHead',
        num_classes=len(_base_.seg_classes),
        in_channels=64,
        in_index=1,
        stride=8,
        fc_channels=256))

load_regions = dict(type='LoadRegions', cache_dir=_base_.data_root + 'regions')
geometry = [
    dict(_base_.geometry[0], resize_type='RegionResize'), *_base_.geometry[1:]
]
test_resize = dict(_base_.test_resize, type='RegionResize')
pack = dict(type='PackRegions')
train_pipeline = [
    *_base_.load, load_regions, *geometry,
    dict(type='AddGTRegions'), pack
]
test_pipeline = [
    _base_.load[0], load_regions, test_resize, _base_.load[1], pack
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
