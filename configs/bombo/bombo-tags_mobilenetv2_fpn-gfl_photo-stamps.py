# BoMBo with three sources: 30 images with boxes, 30 with masks, and 1,540 of
# which only the tags are read. Boxes and masks imply tags, so that all images
# train the classifier, whose activation maps teach masks where there are tags.
_base_ = './bombo_mobilenetv2_fpn-gfl_photo-stamps.py'

# after augmentation: a crop may lose an object
imply_tags = dict(type='ImplyImageLabels', class_map=_base_.class_map)
train_pipeline = [
    *_base_.weak_pipeline[:-1], imply_tags, _base_.weak_pipeline[-1]
]
test_pipeline = [
    *_base_.test_pipeline[:-1], imply_tags, _base_.test_pipeline[-1]
]

# the published numbers are for 321 pixels; these are for 160
tag_loss = dict(
    type='TagForMaskLoss',
    start=0.3,
    labels='both',
    scales=(1., 2.),
    crf=dict(
        gaussian_sxy=1.5,
        gaussian_compat=3,
        bilateral_sxy=40,
        bilateral_srgb=13,
        bilateral_compat=10))
model = dict(
    classes=dict(cls=_base_.det_classes),
    task_heads=dict(
        # of the pyramid's maps that of stride 8, so that the activation maps
        # have 20 x 20 cells at 160 pixels
        cls=dict(
            type='ClsTaskHead',
            num_classes=len(_base_.det_classes),
            in_channels=64,
            in_index=1,
            bias=False)),
    weak_losses=[*_base_.model.weak_losses, tag_loss])

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
