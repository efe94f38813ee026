# The papers' schedule on Pascal VOC: 100 epochs of 1,093 iterations, each of
# 7 images with boxes and 7 with masks. Warm-up from lr / 10, then half a
# cosine back to lr / 10.
max_iters = 109300

# One-dimensional parameters (biases and normalization) do not decay.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.001, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(flat_decay_mult=0.))

# for --auto-scale-lr: the images of a step that lr is made for
auto_scale_lr = dict(enable=False, base_batch_size=14)

# The warm-up reaches lr at iteration 500, its last, and the cosine begins
# there.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=501),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.1,
        by_epoch=False,
        begin=500,
        end=max_iters)
]

# After t updates the average is decayed by 0.9998 (1 - exp(-t / 2000)). It is
# what is validated and saved, and what predicts where predictor='ema'.
custom_hooks = [
    dict(
        type='PredictorEMAHook',
        ema_type='mmdet.ExpMomentumEMA',
        momentum=0.0002,
        gamma=2000)
]

train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=max_iters, val_interval=10930)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
