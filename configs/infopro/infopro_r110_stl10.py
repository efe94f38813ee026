_base_ = [
    '../_base_/models/infopro_small_images.py', '../_base_/datasets/stl10.py',
    '../_base_/schedules/sgd_160e_small_images.py',
    '../_base_/default_runtime.py'
]

model = dict(
    classes=dict(cls=_base_.classes),
    data_preprocessor=_base_.normalization,
    backbone=dict(
        backbone=dict(depth=110),
        **_base_.local_modules['stl10_r110'][_base_.K]))
steps_per_epoch = 40
max_iters = 160 * steps_per_epoch
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = 10 * steps_per_epoch
param_scheduler[1].end = max_iters
train_cfg = dict(max_iters=max_iters, val_interval=10 * steps_per_epoch)
optim_wrapper = dict(optimizer=dict(lr=0.1))
