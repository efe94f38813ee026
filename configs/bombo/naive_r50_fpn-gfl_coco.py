# Naive partial training on COCO with ResNet-50, FPN and GFL.
# Each head learns from its own images only.
_base_ = [
    '../_base_/models/r50_fpn-gfl.py',
    '../_base_/datasets/coco.py',
    '../_base_/schedules/sgd_40k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    class_map=_base_.class_map,
    task_heads=dict(
        det=dict(head=dict(num_classes=len(_base_.det_classes))),
        seg=dict(head=dict(num_classes=len(_base_.seg_classes)))))

max_iters = 90000
param_scheduler = _base_.param_scheduler
param_scheduler[1].end = max_iters
train_cfg = dict(max_iters=max_iters, val_interval=9000)

default_hooks = dict(checkpoint=dict(interval=2000))
