# RRM's published training from ImageNet: 24 epochs of 1,322 iterations of 8
# images, a classifier in the first half.
_base_ = './rrm_20k.py'

max_iters = 31728
half = max_iters // 2

sgd_published = dict(type='SGD', lr=0.01, momentum=5e-4, weight_decay=5e-4)
sgd_with_momentum = dict(sgd_published, momentum=0.9)
optim_wrapper = dict(optimizer=sgd_published)
auto_scale_lr = dict(base_batch_size=8)

# The published code decays each half by itself, and the second from 7e-4, for
# backbone and heads alike: a decay to the same last value for all makes them
# equal, and 700 times that is where the second half begins.
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=1e-6, by_epoch=False, end=half + 1),
    dict(type='MultiStepLR', milestones=[half], gamma=700., by_epoch=False),
    dict(
        type='PolyLR',
        power=0.9,
        by_epoch=False,
        begin=half,
        end=max_iters + 1)
]

train_cfg = dict(max_iters=max_iters, val_interval=2644)
