# RRM on Pascal VOC 2012, from a classifier of its tags: PSA's res38_cls.pth.
_base_ = [
    '../_base_/models/rrm_wrn38.py', '../_base_/datasets/voc_tags.py',
    '../_base_/schedules/rrm_20k.py', '../_base_/default_runtime.py'
]

pretrained = dict(type='Pretrained', checkpoint='checkpoints/res38_cls.pth')
model = dict(
    classes=dict(cls=_base_.det_classes, seg=_base_.seg_classes),
    backbone=dict(init_cfg=pretrained),
    task_heads=dict(
        cls=dict(
            init_cfg=dict(
                override=dict(
                    name='classifier', prefix='fc8', **pretrained)))))

default_hooks = dict(checkpoint=dict(interval=2000))
