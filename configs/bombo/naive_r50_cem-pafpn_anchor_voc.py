# Naive partial training on Pascal VOC, the paper's network, ResNet-50, PAFPN.
# Each head learns from its own images only.
_base_ = [
    '../_base_/models/r50_cem-pafpn_anchor.py',
    '../_base_/datasets/voc_paper.py',
    '../_base_/schedules/sgd_voc_paper.py',
    '../_base_/default_runtime.py',
]

model = dict(
    class_map=_base_.class_map,
    forward_mode='per_task',
    batch_resize=dict(type='DetBatchResize', sizes=(256, 320, 384)))

default_hooks = dict(checkpoint=dict(interval=1093))
