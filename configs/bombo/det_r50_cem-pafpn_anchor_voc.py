# Detection only, the papers' teacher: see distillation/kd-soft_r18_*. One
# head, and the images with boxes: as many as in a step of the two-task
# configs.
_base_ = './naive_r50_cem-pafpn_anchor_voc.py'

model = _base_.model
model.task_heads.pop('seg')
model._delete_ = True

train_dataloader = dict(
    batch_size=7,
    sampler=dict(batch_size=7, source_ratio=[1]),
    dataset=dict(datasets=[_base_.det_source]))

auto_scale_lr = dict(base_batch_size=7)

metrics = dict(_delete_=True, det=_base_.val_evaluator.metrics.det)
val_evaluator = dict(metrics=metrics)
test_evaluator = val_evaluator
