# BoMBo on drawn shapes: the configuration of the tests and of the smoke run.
_base_ = [
    '../_base_/models/mobilenetv2_fpn-gfl.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/adamw_300it.py', '../_base_/default_runtime.py'
]

model = dict(
    class_map=_base_.class_map,
    task_heads=dict(
        det=dict(head=dict(num_classes=len(_base_.det_classes))),
        seg=dict(head=dict(num_classes=len(_base_.seg_classes)))),
    weak_losses=[
        dict(type='BoxForMaskLoss', loss_weight=1.0),
        dict(type='MaskForBoxLoss', loss_weight=1.0, predictor='self')
    ])

train_dataloader = dict(dataset=dict(datasets=_base_.weak_sources))
