# InfoPro on Cityscapes as published: DeepLabV3 with ResNet-101, cut in two for
# equal memory, 8 images a step, two on each of four GPUs.
_base_ = '../_base_/default_runtime.py'

norm_cfg = dict(type='SyncBN', requires_grad=True)
crop_size = (512, 1024)  # (height, width)
model = dict(
    type='mmseg.EncoderDecoder',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=crop_size),
    backbone=dict(
        type='LocallySupervisedBackbone',
        backbone=dict(
            type='mmseg.ResNetV1c',
            depth=101,
            dilations=(1, 1, 2, 4),
            strides=(1, 2, 1, 1),
            norm_cfg=norm_cfg,
            contract_dilation=True,
            init_cfg=dict(
                type='Pretrained',
                checkpoint='https://download.openmmlab.com/pretrain/'
                'third_party/resnet101_v1c-e67eebb6.pth')),
        cuts=['layer3.12'],
        rec_weight=1.5,
        task_weight=1.0,
        head=dict(type='LocalTaskHead', num_classes=19, norm_cfg=norm_cfg),
        decoder=dict(type='ReconstructionDecoder', norm_cfg=norm_cfg)),
    decode_head=dict(
        type='mmseg.ASPPHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        dilations=(1, 12, 24, 36),
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='mmseg.CrossEntropyLoss')),
    auxiliary_head=dict(
        type='mmseg.FCNHead',
        in_channels=1024,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='mmseg.CrossEntropyLoss', loss_weight=0.4)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))

load = [
    dict(type='LoadImageFromFile'),
    dict(type='mmseg.LoadAnnotations')
]
scale = (2048, 1024)  # (width, height)
random_resize = dict(
    type='mmseg.RandomResize',
    scale=scale,
    ratio_range=(0.5, 2.0),
    resize_type='mmseg.Resize',
    keep_ratio=True)
random_crop = dict(
    type='mmseg.RandomCrop', crop_size=crop_size, cat_max_ratio=0.75)
finish = [
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.PackSegInputs')
]
train_pipeline = [*load, random_resize, random_crop, *finish]
test_pipeline = [
    load[0],
    dict(type='mmseg.Resize', scale=scale, keep_ratio=True), load[1],
    finish[-1]
]
cityscapes = dict(type='mmseg.CityscapesDataset', data_root='data/cityscapes/')
train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        cityscapes,
        data_prefix=dict(
            img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        cityscapes,
        data_prefix=dict(
            img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='SegIoUMetric', prefix='seg')
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4))
# for --auto-scale-lr: the images of a step that lr is made for
auto_scale_lr = dict(enable=False, base_batch_size=8)
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=1e-4, by_epoch=False, end=40000)
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=40000, val_interval=4000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(checkpoint=dict(interval=4000, save_best='seg/mIoU'))
