_base_ = [
    '../_base_/models/infopro_small_images.py',
    '../_base_/datasets/cifar10.py',
    '../_base_/schedules/sgd_160e_small_images.py',
    '../_base_/default_runtime.py'
]

model = dict(
    classes=dict(cls=_base_.classes),
    data_preprocessor=_base_.normalization,
    backbone=_base_.local_modules['cifar10_r32'][_base_.K])
