# The spatial ranking of OANet alone, trained on the annotations of COCO 2017
# without images: at half their scale and stride, the cells are OANet's.
_base_ = [
    '../_base_/datasets/coco_panoptic.py',
    '../_base_/schedules/adamw_300it.py', '../_base_/default_runtime.py'
]

model = dict(
    type='SpatialRanker',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor', pad_mask=True, pad_seg=True),
    panoptic_fusion_head=dict(
        type='SpatialRankingFusionHead',
        num_things_classes=80,
        num_stuff_classes=53,
        srm=dict(stride=4)))

annotations = _base_.annotations
resize = dict(type='mmdet.Resize', scale=(667, 400), keep_ratio=True)
flip = _base_.train_pipeline[3]
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(
    batch_size=16,
    dataset=dict(pipeline=[annotations, resize, flip, _base_.pack]))
val_dataloader = dict(
    batch_size=16, dataset=dict(pipeline=[annotations, resize, _base_.pack]))
test_dataloader = val_dataloader
val_evaluator = [dict(type='OrderAccuracy')]
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(lr=0.02, weight_decay=0.))
max_iters = 7393  # one epoch
param_scheduler = [
    dict(
        type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, end=max_iters)
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(save_best='order/accuracy'))
