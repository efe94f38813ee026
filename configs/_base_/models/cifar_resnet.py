# ResNet-32 for images of 32 x 32 pixels and a softmax over 10 classes.
model = dict(
    type='MultiTaskDetector',
    data_preprocessor=dict(
        type='MultiTaskDataPreprocessor',
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True),
    backbone=dict(type='CifarResNet', depth=32),
    task_heads=dict(
        cls=dict(
            type='SingleLabelTaskHead',
            num_classes=10,
            in_channels=64,
            in_index=0)))
