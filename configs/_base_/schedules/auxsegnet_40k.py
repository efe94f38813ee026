# A stage of AuxSegNet's published training on Pascal VOC: 15 epochs of 2,645
# iterations of 4 images.
max_iters = 39675

# Where the published code hands its weight decay to SGD, SGD takes it for the
# momentum, and has no weight decay; what is called momentum there, 0.9, is the
# power of the decay.
sgd_published = dict(type='SGD', lr=7e-4, momentum=1e-5, weight_decay=0.)
# what the code seems to mean; the paper has a rate of 0.001
sgd_with_momentum = dict(type='SGD', lr=7e-4, momentum=0.9, weight_decay=1e-5)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=sgd_published,
    # the longest key counts. Published factors go by names of layers, which
    # those of the affinity across tasks do not have
    paramwise_cfg=dict(custom_keys={
        'head': dict(lr_mult=10.),
        'task_heads.aux.cross': dict(lr_mult=1.)
    }))

# for --auto-scale-lr: the images of a step that lr is made for
auto_scale_lr = dict(enable=False, base_batch_size=4)

param_scheduler = [
    dict(type='PolyLR', power=0.9, by_epoch=False, end=max_iters + 1)
]

train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
