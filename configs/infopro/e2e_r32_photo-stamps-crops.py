# ResNet-32 from scratch on crops of PhotoStamps' objects, end to end.
_base_ = [
    '../_base_/models/cifar_resnet.py',
    '../_base_/datasets/photo_stamps_crops.py',
    '../_base_/schedules/adamw_300it.py', '../_base_/default_runtime.py'
]

model = dict(
    classes=dict(cls=_base_.classes),
    task_heads=dict(cls=dict(num_classes=len(_base_.classes))))
