_base_ = './sgd_40k.py'

max_iters = 90000
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-4,
        by_epoch=False,
        begin=500,
        end=max_iters)
]
train_cfg = dict(max_iters=max_iters, val_interval=9000)
