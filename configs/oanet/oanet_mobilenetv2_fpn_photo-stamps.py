# OANet on a light network, which trains on a CPU.
_base_ = [
    '../_base_/models/oanet_r50_fpn.py',
    '../_base_/datasets/photo_stamps_panoptic.py',
    '../_base_/schedules/adamw_300it.py', '../_base_/default_runtime.py'
]

num_things, num_stuff = map(len, (_base_.thing_classes, _base_.stuff_classes))
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet.MobileNetV2',
        # 7, the last one: no layer is left without a gradient
        out_indices=(1, 2, 4, 7),
        frozen_stages=1,
        norm_cfg=norm_cfg,
        # made by tools/model_converters/mobilenet_v2.py
        init_cfg=dict(
            type='Pretrained',
            checkpoint='checkpoints/mobilenet_v2_imagenet.pth')),
    neck=dict(
        in_channels=[24, 32, 96, 1280], out_channels=64, norm_cfg=norm_cfg),
    rpn_head=dict(in_channels=64, feat_channels=64),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64),
        bbox_head=dict(
            in_channels=64, fc_out_channels=256, num_classes=num_things),
        mask_roi_extractor=dict(out_channels=64),
        mask_head=dict(
            num_convs=2,
            in_channels=64,
            conv_out_channels=64,
            num_classes=num_things)),
    semantic_head=dict(
        num_things_classes=num_things,
        num_stuff_classes=num_stuff,
        in_channels=64,
        inner_channels=64),
    panoptic_fusion_head=dict(
        num_things_classes=num_things,
        num_stuff_classes=num_stuff,
        srm=dict(stride=4),
        train_source='gt'),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=dict(sampler=dict(num=64))),
    test_cfg=dict(
        rpn=dict(nms_pre=500, max_per_img=200),
        rcnn=dict(score_thr=0.5),
        panoptic=dict(stuff_area_limit=256)))
# the ranking learns at the rate of srm_photo-stamps.py
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={'panoptic_fusion_head': dict(lr_mult=20., decay_mult=0.)
                     }))
default_hooks = dict(checkpoint=dict(save_best='panoptic/PQ'))
