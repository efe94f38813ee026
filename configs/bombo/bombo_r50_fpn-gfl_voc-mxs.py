# BoMBo with boxes in VOC's 20 classes and masks in 4 super-classes
# (MXS), with ResNet-50, FPN and GFL.
# Box-for-Mask on the images with boxes, Mask-for-Box on those with masks.
_base_ = [
    '../_base_/models/r50_fpn-gfl.py',
    '../_base_/datasets/voc_mxs.py',
    '../_base_/schedules/sgd_40k.py',
    '../_base_/default_runtime.py',
]

model = dict(
    class_map=_base_.class_map,
    task_heads=dict(
        seg=dict(head=dict(num_classes=len(_base_.seg_classes)))),
    weak_losses=[
        dict(type='BoxForMaskLoss', loss_weight=1.0),
        dict(type='MaskForBoxLoss', loss_weight=1.0, predictor='self')
    ])

train_dataloader = dict(
    dataset=dict(datasets=[
        dict(_base_.det_source, pipeline=_base_.weak_pipeline),
        dict(_base_.seg_source, pipeline=_base_.weak_pipeline)
    ]))

default_hooks = dict(checkpoint=dict(interval=2000))
