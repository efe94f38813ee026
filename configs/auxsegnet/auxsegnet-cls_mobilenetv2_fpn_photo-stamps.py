# The classifier that AuxSegNet starts from.
_base_ = './auxsegnet_mobilenetv2_fpn_photo-stamps.py'

model = dict(task_heads=dict(aux=dict(tasks=('cls', ))))
train_dataloader = dict(
    dataset=dict(datasets=[
        dict(_base_.train_source, annotation_kinds=('image_label', ))
    ]))
val_evaluator = dict(
    metrics=dict(_delete_=True, cls=_base_.val_evaluator.metrics.cls),
    kinds=None)
test_evaluator = val_evaluator
