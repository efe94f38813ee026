# BoMBo on COCO with the paper's network, ResNet-18; the background is ignored,
# as in the authors' code: see coco_paper_foreground.py.
# Box-for-Mask on the images with boxes, Mask-for-Box on those with masks.
_base_ = [
    '../_base_/models/r18_cem-fpn_anchor.py',
    '../_base_/datasets/coco_paper_foreground.py',
    '../_base_/schedules/sgd_coco_paper.py',
    '../_base_/default_runtime.py',
]

model = dict(
    class_map=_base_.class_map,
    forward_mode='per_task',
    batch_resize=dict(type='DetBatchResize', sizes=(256, 320, 384)),
    task_heads=dict(
        det=dict(head=dict(num_classes=len(_base_.det_classes))),
        seg=dict(head=dict(num_classes=len(_base_.seg_classes)))),
    weak_losses=[
        dict(type='BoxForMaskLoss', loss_weight=1.0),
        dict(
            type='MaskForBoxLoss',
            loss_weight=1.0,
            predictor='ema',
            score_thr=0.5)
    ])

train_dataloader = dict(
    dataset=dict(datasets=[
        dict(_base_.det_source, pipeline=_base_.weak_pipeline),
        dict(_base_.seg_source, pipeline=_base_.weak_pipeline)
    ]))

default_hooks = dict(checkpoint=dict(interval=2093))
