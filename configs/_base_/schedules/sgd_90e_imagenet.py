# 90 epochs of 1,024 images a step, 1,281,167 images.
steps_per_epoch = 1252
max_iters = 90 * steps_per_epoch

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='SGD', lr=0.4, momentum=0.9, nesterov=True, weight_decay=1e-4))
auto_scale_lr = dict(enable=False, base_batch_size=1024)
param_scheduler = [
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
    val_interval=steps_per_epoch)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
