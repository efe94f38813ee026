# BoMBo on COCO with the paper's network, ResNet-18, and as in the authors'
# code the background is ignored: it is no target in training (its channel is
# never right, so it is hardly ever predicted) and its pixels are not scored.
# mIoU is then that of the pixels of objects, which compares with no ordinary
# mIoU of COCO. The files are the same as with a background.
_base_ = './bombo_r18_cem-fpn_anchor_coco.py'

class_map = dict(background=None)
model = dict(class_map=class_map)
load_pseudo_mask = dict(class_map=class_map)
label_components = dict(class_map=class_map)
weak_pipeline = _base_.weak_pipeline
weak_pipeline[2].class_map.background = None
weak_pipeline[-2].class_map.background = None

foreground = dict(seg_ignore_ids=(0, ))
seg_source = foreground
train_dataloader = dict(
    dataset=dict(datasets=[
        dict(_base_.det_source, pipeline=weak_pipeline),
        dict(_base_.seg_source, pipeline=weak_pipeline, **foreground)
    ]))
val_dataloader = dict(dataset=foreground)
test_dataloader = val_dataloader
val_evaluator = dict(
    metrics=dict(seg=[
        dict(type='SegIoUMetric', iou_metrics=['mIoU']),
        dict(type='CompatSegIoUMetric', size=None, iou_metrics=['mIoU'])
    ]))
test_evaluator = val_evaluator
