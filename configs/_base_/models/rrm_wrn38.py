# RRM's network: Wide ResNet-38 at stride 8, a classifier whose weights also
# give the class activation maps, and a segmentation head with dilation 12.
from_scratch = dict(type='Xavier', layer='Conv2d', distribution='uniform')

model = dict(
    type='MultiTaskDetector',
    data_preprocessor=dict(
        type='MultiTaskDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1),
    backbone=dict(type='WideResNet38'),
    task_heads=dict(
        cls=dict(
            type='ClsTaskHead',
            num_classes=20,
            in_channels=4096,
            in_index=0,
            dropout_ratio=0.5,
            bias=False,
            init_cfg=from_scratch),
        seg=dict(
            type='SegTaskHead',
            head=dict(
                type='mmbombo.AtrousFCNHead',
                in_channels=4096,
                channels=512,
                dilation=12,
                num_classes=21,
                init_cfg=from_scratch),
            test_cfg=dict(mode='whole', crf='rrm_infer'))),
    weak_losses=[
        dict(
            type='TagForMaskLoss',
            scales=(1., 0.5, 1.5, 2.),
            crf='rrm_label'),
        dict(
            type='DenseEnergyLoss',
            # as strong as the published 1e-7, see DenseEnergyLoss
            loss_weight=5e-8,
            sigma_rgb=15.,
            sigma_xy=100.,
            scale_factor=0.5)
    ])
