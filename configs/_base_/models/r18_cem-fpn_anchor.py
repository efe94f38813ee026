# BoMBo's network with ResNet-18: no max-pooling in the stem, context
# enhancement, four levels at strides 8 to 64, an anchor head and a
# segmentation head at full resolution. For images squashed to 320 x 320.
norm_cfg = dict(type='BN', requires_grad=True)

model = dict(
    type='MultiTaskDetector',
    data_preprocessor=dict(
        type='MultiTaskDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=64),
    backbone=dict(
        type='NoPoolResNet',
        depth=18,
        out_indices=(2, 3),
        norm_cfg=norm_cfg,
        norm_eval=False,
        style='pytorch',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.pytorch.org/models/'
            'resnet18-f37072fd.pth')),
    neck=dict(
        type='ContextPyramid',
        in_channels=[256, 512],
        out_channels=256,
        num_levels=4,
        fusion='fpn',
        norm_cfg=norm_cfg),
    task_heads=dict(
        det=dict(
            type='DetTaskHead',
            head=dict(
                _scope_='mmdet',
                type='mmbombo.PerLevelAnchorHead',
                num_classes=20,
                in_channels=256,
                feat_channels=256,
                norm_cfg=norm_cfg,
                anchor_generator=dict(
                    type='mmbombo.ClampedAnchorGenerator',
                    strides=[8, 16, 32, 64],
                    # 24, 48, 96 and 192 pixels, and these times sqrt(2)
                    octave_base_scale=3,
                    scales_per_octave=2,
                    ratios=[1.0, 0.5, 2.0],
                    scale_major=False,
                    center_offset=0.5),
                bbox_coder=dict(
                    type='DeltaXYWHBBoxCoder',
                    target_means=[0., 0., 0., 0.],
                    target_stds=[0.1, 0.1, 0.2, 0.2]),
                loss_cls=dict(
                    type='FocalLoss', use_sigmoid=True, alpha=0.25, gamma=1.0),
                loss_bbox=dict(
                    type='BalancedL1Loss', alpha=0.5, gamma=1.5, beta=0.11)),
            train_cfg=dict(
                # or dict(type='mmbombo.MutualGuideAssigner'), with loss_cls=
                # dict(type='QualityFocalLoss', use_sigmoid=True,
                # loss_weight=2.0)
                assigner=dict(
                    type='mmbombo.IoUAssigner',
                    pos_iou_thr=0.5,
                    neg_iou_thr=0.4)),
            test_cfg=dict(
                nms_pre=1000,
                min_bbox_size=0,
                score_thr=0.05,
                nms=dict(type='nms', iou_threshold=0.5),
                max_per_img=200)),
        seg=dict(
            type='SegTaskHead',
            head=dict(
                _scope_='mmseg',
                type='mmbombo.PyramidSumHead',
                in_channels=[256, 256, 256, 256],
                channels=128,
                refine_stride=1,
                num_classes=21,
                norm_cfg=norm_cfg,
                align_corners=False,
                loss_decode=dict(type='CrossEntropyLoss', loss_weight=1.0)),
            test_cfg=dict(mode='whole'))))
