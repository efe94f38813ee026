# ResNet-50, a pyramid of 256 channels at strides 4 to 64, GFL on strides 8 to
# 64, and the semantic branch of Panoptic FPN on strides 4 to 32.
_base_ = './r18_fpn-gfl.py'

model = dict(
    backbone=dict(
        depth=50,
        frozen_stages=1,
        init_cfg=dict(checkpoint='https://download.pytorch.org/models/'
                      'resnet50-0676ba61.pth')),
    neck=dict(in_channels=[256, 512, 1024, 2048], out_channels=256),
    task_heads=dict(
        det=dict(head=dict(in_channels=256, feat_channels=256)),
        seg=dict(head=dict(in_channels=[256] * 4, channels=128))))
