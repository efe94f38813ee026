# BoMBo with three sources: boxes, masks, and images of which only the tags are
# read. Boxes and masks imply tags, so that all images train the classifier.
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
        # of the pyramid's maps that of stride 16
        cls=dict(
            type='ClsTaskHead',
            num_classes=len(_base_.det_classes),
            in_channels=64,
            in_index=2)))

metainfo = dict(_base_.metainfo, cls_classes=_base_.det_classes)
# the second half of the images with boxes has tags only
train_dataloader = dict(
    sampler=dict(source_ratio=[1, 1, 1]),
    dataset=dict(datasets=[
        dict(
            _base_.det_source,
            metainfo=metainfo,
            indices=400,
            pipeline=train_pipeline),
        dict(_base_.seg_source, metainfo=metainfo, pipeline=train_pipeline),
        dict(
            _base_.det_source,
            metainfo=metainfo,
            source='tags',
            annotation_kinds=('image_label', ),
            indices=-400,
            pipeline=train_pipeline)
    ]))
val_dataloader = dict(
    dataset=dict(metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metrics=dict(cls=dict(type='ImageLabelAPMetric')))
test_evaluator = val_evaluator
