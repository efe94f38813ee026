# The papers' schedule on two exclusive eighths of COCO: an epoch is 2,093
# iterations of 7 images with boxes and 7 with masks. How many epochs the
# papers train is not known; 140 is our choice.
_base_ = './sgd_voc_paper.py'

max_iters = 293020

param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=501),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.1,
        by_epoch=False,
        begin=500,
        end=max_iters)
]

train_cfg = dict(max_iters=max_iters, val_interval=41860)
