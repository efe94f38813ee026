_base_ = './infopro_r101_imagenet.py'

model = dict(
    backbone=dict(backbone=dict(depth=152), cuts=['layer2.5'], task_weight=1.))
