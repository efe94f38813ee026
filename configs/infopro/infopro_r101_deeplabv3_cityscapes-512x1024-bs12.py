# InfoPro on Cityscapes as published: 12 images a step, three on each of four
# GPUs, in less memory than 8 need otherwise.
_base_ = './infopro_r101_deeplabv3_cityscapes-512x1024.py'

model = dict(backbone=dict(rec_weight=1.0, task_weight=0.1))
train_dataloader = dict(batch_size=3)
optim_wrapper = dict(optimizer=dict(lr=0.015))
auto_scale_lr = dict(base_batch_size=12)
