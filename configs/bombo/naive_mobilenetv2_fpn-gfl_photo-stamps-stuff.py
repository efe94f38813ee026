# Naive partial training: each head learns from its own images only.
_base_ = [
    '../_base_/models/mobilenetv2_fpn-gfl.py',
    '../_base_/datasets/photo_stamps_stuff.py',
    '../_base_/schedules/adamw_300it.py', '../_base_/default_runtime.py'
]

model = dict(
    class_map=_base_.class_map,
    task_heads=dict(
        det=dict(head=dict(num_classes=len(_base_.det_classes))),
        seg=dict(head=dict(num_classes=len(_base_.seg_classes)))))
