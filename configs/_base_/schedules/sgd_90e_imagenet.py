# 90 epochs of 1,024 images a step, 1,281,167 images.
_base_ = './sgd_160e_small_images.py'

steps_per_epoch = 1252
max_iters = 90 * steps_per_epoch

optim_wrapper = dict(optimizer=dict(lr=0.4))
param_scheduler = [dict(_base_.param_scheduler[1], end=max_iters)]
train_cfg = dict(max_iters=max_iters, val_interval=steps_per_epoch)
