# A light network that trains on a CPU within minutes: MobileNetV2, a pyramid
# of 64 channels at strides 4 to 64, GFL on strides 8 to 64, and the semantic
# branch of Panoptic FPN on strides 4 to 32.
norm_cfg = dict(type='BN', requires_grad=True)

model = dict(
    type='MultiTaskDetector',
    data_preprocessor=dict(
        type='MultiTaskDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    backbone=dict(
        type='mmdet.MobileNetV2',
        out_indices=(1, 2, 4, 6),
        # keeps the stem's ImageNet weights: a third of a step's time
        frozen_stages=1,
        norm_cfg=norm_cfg,
        # made by tools/model_converters/mobilenet_v2.py
        init_cfg=dict(
            type='Pretrained',
            checkpoint='checkpoints/mobilenet_v2_imagenet.pth')),
    neck=dict(
        type='mmdet.FPN',
        in_channels=[24, 32, 96, 320],
        out_channels=64,
        norm_cfg=norm_cfg,
        num_outs=5),
    task_heads=dict(
        det=dict(
            type='DetTaskHead',
            in_indices=(1, 2, 3, 4),
            head=dict(
                type='GFLHead',
                num_classes=20,
                in_channels=64,
                feat_channels=64,
                stacked_convs=2,
                norm_cfg=dict(type='GN', num_groups=16, requires_grad=True),
                anchor_generator=dict(
                    type='AnchorGenerator',
                    ratios=[1.0],
                    octave_base_scale=8,
                    scales_per_octave=1,
                    strides=[8, 16, 32, 64]),
                loss_cls=dict(
                    type='QualityFocalLoss',
                    use_sigmoid=True,
                    beta=2.0,
                    loss_weight=1.0),
                loss_dfl=dict(type='DistributionFocalLoss', loss_weight=0.25),
                reg_max=16,
                loss_bbox=dict(type='GIoULoss', loss_weight=2.0)),
            train_cfg=dict(
                assigner=dict(type='ATSSAssigner', topk=9),
                allowed_border=-1,
                pos_weight=-1,
                debug=False),
            test_cfg=dict(
                nms_pre=1000,
                min_bbox_size=0,
                score_thr=0.05,
                nms=dict(type='nms', iou_threshold=0.6),
                max_per_img=100)),
        seg=dict(
            type='SegTaskHead',
            head=dict(
                type='FPNHead',
                in_channels=[64, 64, 64, 64],
                in_index=[0, 1, 2, 3],
                feature_strides=[4, 8, 16, 32],
                channels=64,
                dropout_ratio=0.1,
                num_classes=21,
                norm_cfg=norm_cfg,
                align_corners=False,
                loss_decode=dict(type='CrossEntropyLoss', loss_weight=1.0)),
            test_cfg=dict(mode='whole'))))
