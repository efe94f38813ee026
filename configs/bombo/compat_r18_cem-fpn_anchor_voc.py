# The protocol of the authors' code, which no benchmark shares, for a network
# trained with any r18_cem-fpn_anchor_voc config of both tasks:
#   python tools/test.py configs/bombo/compat_r18_cem-fpn_anchor_voc.py WEIGHTS
_base_ = './naive_r18_cem-fpn_anchor_voc.py'

model = dict(
    task_heads=dict(
        det=dict(type='CompatDetTaskHead'),
        seg=dict(type='CompatSegTaskHead')))

metrics = dict(
    _delete_=True,
    det=dict(type='CompatVOCMetric', year=2012),
    seg=dict(type='CompatSegIoUMetric', iou_metrics=['mIoU']))
val_evaluator = dict(metrics=metrics)
test_evaluator = val_evaluator
