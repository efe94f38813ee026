# E2S2 on SIFT Flow as published: 25 epochs of 2,488 images, 10 to a step. The
# README beside says how to get the data.
_base_ = '../_base_/default_runtime.py'

vgg16 = 'https://download.pytorch.org/models/vgg16-397923af.pth'
model = dict(
    type='RegionSegmentor',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size_divisor=16,
        test_cfg=dict(size_divisor=16)),
    backbone=dict(
        type='VGG', init_cfg=dict(type='Pretrained', checkpoint=vgg16)),
    decode_head=dict(
        type='RegionHead',
        num_classes=33,
        in_channels=512,
        stride=16,
        vgg16=vgg16))

classes = ('awning', 'balcony', 'bird', 'boat', 'bridge', 'building', 'bus',
           'car', 'cow', 'crosswalk', 'desert', 'door', 'fence', 'field',
           'grass', 'moon', 'mountain', 'person', 'plant', 'pole', 'river',
           'road', 'rock', 'sand', 'sea', 'sidewalk', 'sign', 'sky',
           'staircase', 'streetlight', 'sun', 'tree', 'window')
data_root = 'data/sift_flow/'
load = [
    dict(type='LoadImageFromFile'),
    dict(type='mmseg.LoadAnnotations', reduce_zero_label=True)
]
load_regions = dict(type='LoadRegions', cache_dir=data_root + 'regions')
resize = dict(type='RegionResize', scale=(600, 600), keep_ratio=True)
pack = dict(type='PackRegions')
train_pipeline = [
    *load, load_regions, resize,
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='AddGTRegions'), pack
]
test_pipeline = [load[0], load_regions, resize, load[1], pack]

sift_flow = dict(
    type='mmseg.BaseSegDataset',
    data_root=data_root,
    data_prefix=dict(img_path='images', seg_map_path='masks'),
    reduce_zero_label=True,
    metainfo=dict(
        classes=classes,
        # of different hues
        palette=[(37 * i % 256, 91 * i % 256, 151 * i % 256)
                 for i in range(1, 34)]))
train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(sift_flow, ann_file='train.txt', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        sift_flow, ann_file='test.txt', test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='SegIoUMetric', prefix='seg'),
    dict(type='TrimapAccuracyMetric', prefix='seg')
]
test_evaluator = val_evaluator

# of one image each, so that an epoch is 2,488
max_iters = 25 * 2488
optim_wrapper = dict(
    type='OptimWrapper',
    accumulative_counts=10,
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4))
param_scheduler = [
    dict(
        type='MultiStepLR', by_epoch=False, milestones=[20 * 2488], gamma=0.1)
]
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5 * 2488)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [dict(type='ClassFrequencyHook')]
default_hooks = dict(checkpoint=dict(interval=5 * 2488, save_best='seg/mAcc'))
