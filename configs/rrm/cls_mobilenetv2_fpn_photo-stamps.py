# The classifier that RRM starts from.
_base_ = './rrm_mobilenetv2_fpn_photo-stamps.py'

model = _base_.model
model._delete_ = True
model.task_heads.pop('seg')
model.classes.pop('seg')
model.weak_losses = []
val_evaluator = dict(
    metrics=dict(_delete_=True, cls=_base_.val_evaluator.metrics.cls))
test_evaluator = val_evaluator
