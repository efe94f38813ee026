# BoMBo's network with ResNet-50 and PAFPN, the teachers' in the papers.
_base_ = './r18_cem-fpn_anchor.py'

model = dict(
    backbone=dict(
        depth=50,
        init_cfg=dict(checkpoint='https://download.pytorch.org/models/'
                      'resnet50-0676ba61.pth')),
    neck=dict(in_channels=[1024, 2048], fusion='pafpn'))
