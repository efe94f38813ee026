# The spatial ranking of oanet_mobilenetv2_fpn_photo-stamps.py alone, trained
# on annotations without images.
_base_ = [
    '../_base_/datasets/photo_stamps_panoptic.py',
    '../_base_/schedules/adamw_300it.py', '../_base_/default_runtime.py'
]

model = dict(
    type='SpatialRanker',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor', pad_mask=True, pad_seg=True),
    panoptic_fusion_head=dict(
        type='SpatialRankingFusionHead',
        num_things_classes=len(_base_.thing_classes),
        num_stuff_classes=len(_base_.stuff_classes),
        srm=dict(stride=4)))

annotations, resize = _base_.annotations, _base_.resize
train_dataloader = dict(
    dataset=dict(pipeline=[annotations, resize, _base_.flip, _base_.pack]))
val_dataloader = dict(
    dataset=dict(pipeline=[annotations, resize, _base_.pack]))
test_dataloader = val_dataloader
val_evaluator = [dict(type='OrderAccuracy')]
test_evaluator = val_evaluator
# nothing but a few thousand weights is trained
optim_wrapper = dict(optimizer=dict(lr=0.02, weight_decay=0.))
default_hooks = dict(checkpoint=dict(save_best='order/accuracy'))
