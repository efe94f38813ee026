# OANet on COCO 2017, as we remember its paper. 8 GPUs of 2 images.
_base_ = [
    '../_base_/models/oanet_r50_fpn.py', '../_base_/datasets/coco_panoptic.py',
    '../_base_/schedules/oanet_100k.py', '../_base_/default_runtime.py'
]

model = dict(panoptic_fusion_head=dict(train_source='gt'))
default_hooks = dict(checkpoint=dict(interval=10000, save_best='panoptic/PQ'))
