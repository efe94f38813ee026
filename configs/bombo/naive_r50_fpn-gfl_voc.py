# Naive partial training on Pascal VOC with ResNet-50, FPN and GFL.
# Each head learns from its own images only.
_base_ = [
    '../_base_/models/r50_fpn-gfl.py',
    '../_base_/datasets/voc.py',
    '../_base_/schedules/sgd_40k.py',
    '../_base_/default_runtime.py',
]

model = dict(class_map=_base_.class_map)

default_hooks = dict(checkpoint=dict(interval=2000))
