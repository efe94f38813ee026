# As coco_paper.py, and as in the authors' code the background is ignored: it
# is no target in training (its channel is never right, so it is hardly ever
# predicted) and its pixels are not scored. mIoU is then that of the pixels of
# objects, which compares with no ordinary mIoU of COCO. The files are the
# same as with a background.
_base_ = './coco_paper.py'

class_map = dict(background=None)
load_pseudo_mask = dict(class_map=class_map)
label_components = dict(class_map=class_map)
weak_pipeline = [
    *_base_.load,
    dict(
        _base_.load_pseudo_mask,
        class_map=dict(_base_.class_map, **class_map)), *_base_.geometry,
    dict(
        _base_.label_components, class_map=dict(_base_.class_map,
                                                **class_map)), _base_.pack
]
foreground = dict(seg_ignore_ids=(0, ))
seg_source = foreground
train_dataloader = dict(
    dataset=dict(
        datasets=[_base_.det_source,
                  dict(_base_.seg_source, **foreground)]))
val_dataloader = dict(dataset=foreground)
test_dataloader = val_dataloader
val_evaluator = dict(
    metrics=dict(seg=[
        dict(type='SegIoUMetric', iou_metrics=['mIoU']),
        dict(type='CompatSegIoUMetric', size=None, iou_metrics=['mIoU'])
    ]))
test_evaluator = val_evaluator
