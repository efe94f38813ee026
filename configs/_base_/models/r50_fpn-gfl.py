# ResNet-50, a pyramid of 256 channels at strides 4 to 64, GFL on strides 8 to
# 64, and the semantic branch of Panoptic FPN on strides 4 to 32.
_base_ = './mobilenetv2_fpn-gfl.py'

norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet.ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=norm_cfg,
        style='pytorch',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.pytorch.org/models/'
            'resnet50-0676ba61.pth')),
    neck=dict(in_channels=[256, 512, 1024, 2048], out_channels=256),
    task_heads=dict(
        det=dict(
            head=dict(
                in_channels=256,
                feat_channels=256,
                stacked_convs=4,
                norm_cfg=dict(type='GN', num_groups=32, requires_grad=True))),
        seg=dict(head=dict(in_channels=[256] * 4, channels=128))))
