# RRM's published training from a classifier of Pascal VOC.
max_iters = 20000

# Where the published code hands its weight decay to SGD, SGD takes it for the
# momentum; what is called momentum there, 0.9, is the power of the decay.
sgd_published = dict(type='SGD', lr=7e-4, momentum=1e-5, weight_decay=1e-5)
sgd_with_momentum = dict(sgd_published, momentum=0.9)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=sgd_published,
    # the longest key counts; only the heads have a bias that trains
    paramwise_cfg=dict(custom_keys={
        'head': dict(lr_mult=10.),
        '.bias': dict(lr_mult=20., decay_mult=0.)
    }))

# for --auto-scale-lr: the images of a step that lr is made for
auto_scale_lr = dict(enable=False, base_batch_size=4)

param_scheduler = [
    dict(type='PolyLR', power=0.9, by_epoch=False, end=max_iters + 1)
]

train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=max_iters, val_interval=2000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
