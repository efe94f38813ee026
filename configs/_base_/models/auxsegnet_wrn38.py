# AuxSegNet's network: Wide ResNet-38 at stride 8, and one head for tags,
# segmentation and saliency, of VOC's classes.
model = dict(
    type='MultiTaskDetector',
    data_preprocessor=dict(
        type='MultiTaskDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1),
    # the first convolution does not train
    backbone=dict(type='WideResNet38', frozen_stages=1),
    task_heads=dict(
        aux=dict(
            type='AuxSegTaskHead',
            in_channels=4096,
            num_classes=21,
            cls=dict(num_classes=20, dropout_ratio=0.5, bias=False))))
