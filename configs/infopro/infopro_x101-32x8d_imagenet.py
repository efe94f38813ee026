_base_ = './infopro_r101_imagenet.py'

model = dict(
    backbone=dict(
        backbone=dict(type='mmdet.ResNeXt', groups=32, base_width=8),
        cuts=['layer2.2']))
