# Segmentation only, the papers' teacher: see distillation/kd-soft_r18_*. One
# head, and the images with masks: as many as in a step of the two-task
# configs.
_base_ = './naive_r50_cem-pafpn_anchor_voc.py'

model = _base_.model
model.task_heads.pop('det')
model.pop('batch_resize')
model._delete_ = True

train_dataloader = dict(
    batch_size=7,
    sampler=dict(batch_size=7, source_ratio=[1]),
    dataset=dict(datasets=[_base_.seg_source]))

auto_scale_lr = dict(base_batch_size=7)

metrics = dict(_delete_=True, seg=_base_.val_evaluator.metrics.seg)
val_evaluator = dict(metrics=metrics)
test_evaluator = val_evaluator
