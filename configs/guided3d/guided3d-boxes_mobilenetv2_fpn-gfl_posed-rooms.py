# Both tasks: boxes on 4 views of a room, masks of all from their votes, and
# Mask-for-Box on the views without boxes.
_base_ = [
    '../_base_/models/mobilenetv2_fpn-gfl.py',
    '../_base_/datasets/posed_rooms.py',
    '../_base_/schedules/adamw_300it.py', '../_base_/default_runtime.py'
]

model = dict(
    class_map=_base_.class_map,
    task_heads=dict(
        det=dict(head=dict(num_classes=len(_base_.det_classes))),
        seg=dict(head=dict(num_classes=len(_base_.seg_classes)))),
    weak_losses=[
        dict(
            type='MaskForBoxLoss',
            loss_weight=1.0,
            predictor='self',
            min_area=_base_.min_area)
    ])

boxed_source = dict(
    _base_.train_source,
    source='boxed',
    annotation_kinds=('bbox', 'sem_seg'),
    ann_file='boxes/train_4.json',
    frames='boxed')
unboxed_source = dict(
    _base_.train_source,
    source='unboxed',
    ann_file='boxes/train_4.json',
    frames='unboxed',
    pipeline=_base_.weak_pipeline)
train_dataloader = dict(
    sampler=dict(source_ratio=[1, 1]),
    dataset=dict(datasets=[boxed_source, unboxed_source]))

val_dataloader = dict(
    dataset=dict(
        annotation_kinds=('bbox', 'sem_seg'),
        ann_file='boxes/val.json',
        frames='boxed'))
test_dataloader = val_dataloader
val_evaluator = dict(metrics=dict(det=_base_.box_metric))
test_evaluator = val_evaluator
