# Naive partial training on COCO with the paper's network, ResNet-18.
# Each head learns from its own images only.
_base_ = [
    '../_base_/models/r18_cem-fpn_anchor.py',
    '../_base_/datasets/coco_paper.py',
    '../_base_/schedules/sgd_coco_paper.py',
    '../_base_/default_runtime.py',
]

model = dict(
    class_map=_base_.class_map,
    forward_mode='per_task',
    batch_resize=dict(type='DetBatchResize', sizes=(256, 320, 384)),
    task_heads=dict(
        det=dict(head=dict(num_classes=len(_base_.det_classes))),
        seg=dict(head=dict(num_classes=len(_base_.seg_classes)))))

default_hooks = dict(checkpoint=dict(interval=2093))
