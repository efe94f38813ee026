# ResNet-32 from scratch on crops of PhotoStamps' objects, with the cuts and
# weights of CIFAR-10. INFOPRO_K=1 is training end to end.
_base_ = [
    '../_base_/models/infopro_small_images.py',
    '../_base_/datasets/photo_stamps_crops.py',
    '../_base_/schedules/adamw_300it.py', '../_base_/default_runtime.py'
]

model = dict(
    classes=dict(cls=_base_.classes),
    task_heads=dict(cls=dict(num_classes=len(_base_.classes))),
    backbone=dict(
        head=dict(num_classes=len(_base_.classes)),
        **_base_.local_modules['cifar10_r32'][_base_.K]))
# the norm of all gradients together would tie the modules to each other
optim_wrapper = dict(clip_grad=None)
