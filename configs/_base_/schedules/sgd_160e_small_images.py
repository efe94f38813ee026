# 160 epochs of 1,024 images a step, 50,000 images, as published for CIFAR.
steps_per_epoch = 49
max_iters = 160 * steps_per_epoch

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='SGD', lr=0.8, momentum=0.9, nesterov=True, weight_decay=1e-4))
auto_scale_lr = dict(enable=False, base_batch_size=1024)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.0125,
        by_epoch=False,
        begin=0,
        end=10 * steps_per_epoch),
    dict(
        type='CosineAnnealingLR',
        eta_min=0.,
        by_epoch=False,
        begin=0,
        end=max_iters)
]
train_cfg = dict(
    type='IterBasedTrainLoop',
    max_iters=max_iters,
    val_interval=10 * steps_per_epoch)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
