# Two modules; the nets and weights are the published ones. Eight processes:
# bash tools/dist_train.sh infopro_r101_imagenet 8
_base_ = [
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/sgd_90e_imagenet.py', '../_base_/default_runtime.py'
]

model = dict(
    type='MultiTaskDetector',
    classes=dict(cls=_base_.classes),
    data_preprocessor=dict(
        type='MultiTaskDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='LocallySupervisedBackbone',
        backbone=dict(
            type='mmdet.ResNet',
            depth=101,
            out_indices=(3, ),
            norm_eval=False,
            style='pytorch',
            zero_init_residual=False),
        cuts=['layer2.0'],
        rec_weight=5.,
        task_weight=.75,
        head=dict(
            type='LocalClassHead',
            num_classes=1000,
            convs=[(1, 128, 1), (3, 256, 2), (3, 512, 2), (1, 2048, 1)],
            hidden=[])),
    task_heads=dict(
        cls=dict(
            type='SingleLabelTaskHead',
            num_classes=1000,
            in_channels=2048,
            in_index=0)))
