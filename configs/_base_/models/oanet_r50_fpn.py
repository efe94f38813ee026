# OANet as we remember its paper: Mask R-CNN on ResNet-50 and a pyramid, a
# stuff branch on the features of the RPN, and a spatial ranking of instances.
# What the paper, as we remember it, does not say is as in Panoptic FPN.
num_things, num_stuff = 80, 53
coder = dict(
    type='DeltaXYWHBBoxCoder',
    target_means=[0., 0., 0., 0.],
    target_stds=[1., 1., 1., 1.])
roi_extractor = dict(
    type='SingleRoIExtractor',
    roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
    out_channels=256,
    featmap_strides=[4, 8, 16, 32])
assigner = dict(
    type='MaxIoUAssigner',
    pos_iou_thr=0.5,
    neg_iou_thr=0.5,
    min_pos_iou=0.5,
    match_low_quality=True,
    ignore_iof_thr=-1)
sampler = dict(
    type='RandomSampler',
    num=512,
    pos_fraction=0.25,
    neg_pos_ub=-1,
    add_gt_as_proposals=True)
proposals = dict(
    nms_pre=1000,
    max_per_img=1000,
    nms=dict(type='nms', iou_threshold=0.7),
    min_bbox_size=0)

model = dict(
    type='OANet',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
        pad_mask=True,
        pad_seg=True,
        seg_pad_value=255),
    backbone=dict(
        type='mmdet.ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.pytorch.org/models/'
            'resnet50-0676ba61.pth')),
    neck=dict(
        type='mmdet.FPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        num_outs=5),
    rpn_head=dict(
        _scope_='mmdet',
        type='RPNHead',
        in_channels=256,
        feat_channels=256,
        anchor_generator=dict(
            type='AnchorGenerator',
            scales=[8],
            ratios=[0.5, 1.0, 2.0],
            strides=[4, 8, 16, 32, 64]),
        bbox_coder=coder,
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=dict(type='L1Loss')),
    roi_head=dict(
        _scope_='mmdet',
        type='StandardRoIHead',
        bbox_roi_extractor=roi_extractor,
        bbox_head=dict(
            type='Shared2FCBBoxHead',
            in_channels=256,
            fc_out_channels=1024,
            roi_feat_size=7,
            num_classes=num_things,
            bbox_coder=dict(coder, target_stds=[0.1, 0.1, 0.2, 0.2]),
            reg_class_agnostic=False,
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False),
            loss_bbox=dict(type='L1Loss')),
        mask_roi_extractor=dict(
            roi_extractor,
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0)),
        mask_head=dict(
            type='FCNMaskHead',
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            num_classes=num_things,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True))),
    semantic_head=dict(
        type='OANetStuffHead',
        share='rpn_conv',
        num_things_classes=num_things,
        num_stuff_classes=num_stuff,
        in_channels=256,
        inner_channels=128,
        loss_seg=dict(
            type='mmdet.CrossEntropyLoss',
            ignore_index=255,
            avg_non_ignore=True,
            loss_weight=0.25)),
    panoptic_fusion_head=dict(
        type='SpatialRankingFusionHead',
        num_things_classes=num_things,
        num_stuff_classes=num_stuff),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(
                assigner, pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3),
            sampler=dict(
                sampler, num=256, pos_fraction=0.5, add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
            debug=False),
        rpn_proposal=dict(proposals, nms_pre=2000),
        rcnn=dict(
            assigner=assigner,
            sampler=sampler,
            mask_size=28,
            pos_weight=-1,
            debug=False)),
    test_cfg=dict(
        rpn=proposals,
        rcnn=dict(
            score_thr=0.6,
            nms=dict(type='nms', iou_threshold=0.5, class_agnostic=True),
            max_per_img=100,
            mask_thr_binary=0.5),
        panoptic=dict(mask_overlap=0.5, stuff_area_limit=4900)))
