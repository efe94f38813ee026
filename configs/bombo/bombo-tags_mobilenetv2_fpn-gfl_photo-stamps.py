# BoMBo with three sources: 30 images with boxes, 30 with masks, and 1,540 of
# which only the tags are read. Boxes and masks imply tags, so that all images
# train a classifier, and with it what all heads share. It begins with one that
# the tags alone have trained:
#
#   python tools/train.py cls_mobilenetv2_fpn_photo-stamps
#   python tools/train.py bombo-tags_mobilenetv2_fpn-gfl_photo-stamps \
#       --cfg-options load_from=CHECKPOINT
_base_ = './bombo_mobilenetv2_fpn-gfl_photo-stamps.py'

# after augmentation: a crop may lose an object
imply_tags = dict(type='ImplyImageLabels', class_map=_base_.class_map)
train_pipeline = [
    *_base_.weak_pipeline[:-1], imply_tags, _base_.weak_pipeline[-1]
]
test_pipeline = [
    *_base_.test_pipeline[:-1], imply_tags, _base_.test_pipeline[-1]
]

model = dict(
    classes=dict(cls=_base_.det_classes),
    task_heads=dict(
        cls=dict(
            type='ClsTaskHead',
            num_classes=len(_base_.det_classes),
            in_channels=64,
            in_index=1,
            bias=False)))

metainfo = dict(_base_.metainfo, cls_classes=_base_.det_classes)
det_source = dict(
    _base_.det_source, metainfo=metainfo, indices=30, pipeline=train_pipeline)
seg_source = dict(
    _base_.seg_source, metainfo=metainfo, indices=30, pipeline=train_pipeline)
# the other 770 of each half
parts = [dict(_base_.det_source), dict(_base_.seg_source)]
for part in parts:
    for key in ('pipeline', 'source', 'annotation_kinds'):
        part.pop(key)
    part.update(metainfo=metainfo, indices=-770)
tag_source = dict(
    type='ConcatSource',
    datasets=parts,
    source='tags',
    annotation_kinds=('image_label', ),
    pipeline=train_pipeline)
train_dataloader = dict(
    batch_size=12,
    sampler=dict(batch_size=12, source_ratio=[1, 1, 1]),
    dataset=dict(datasets=[det_source, seg_source, tag_source]))
val_dataloader = dict(
    dataset=dict(metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metrics=dict(cls=dict(type='ImageLabelAPMetric')))
test_evaluator = val_evaluator
