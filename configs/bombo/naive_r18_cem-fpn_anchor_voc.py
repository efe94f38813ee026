# Naive partial training on Pascal VOC with the paper's network, ResNet-18.
# Each head learns from its own images only.
_base_ = [
    '../_base_/models/r18_cem-fpn_anchor.py',
    '../_base_/datasets/voc_paper.py',
    '../_base_/schedules/sgd_voc_paper.py',
    '../_base_/default_runtime.py',
]

model = dict(
    class_map=_base_.class_map,
    forward_mode='per_task',
    batch_resize=dict(type='DetBatchResize', sizes=(256, 320, 384)))

default_hooks = dict(checkpoint=dict(interval=1093))
