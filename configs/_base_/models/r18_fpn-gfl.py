# ResNet-18, a pyramid of 128 channels at strides 4 to 64, GFL on strides 8 to
# 64, and the semantic branch of Panoptic FPN on strides 4 to 32.
_base_ = './mobilenetv2_fpn-gfl.py'

norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet.ResNet',
        depth=18,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_cfg=norm_cfg,
        style='pytorch',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.pytorch.org/models/'
            'resnet18-f37072fd.pth')),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=128),
    task_heads=dict(
        det=dict(
            head=dict(
                in_channels=128,
                feat_channels=128,
                stacked_convs=4,
                norm_cfg=dict(type='GN', num_groups=32, requires_grad=True))),
        seg=dict(head=dict(in_channels=[128] * 4, channels=128))))
