# Pipelines in pieces, loaders and metrics, for the data sets beside this file
# and for one's own data, whose config names classes, sources and sizes.
load = [
    dict(type='LoadImageFromFile'),
    # reads the annotations that a source declares, and no others
    dict(type='LoadPartialAnnotations')
]
resize = dict(
    type='mmdet.RandomResize',
    ratio_range=(0.8, 1.3),
    resize_type='mmdet.Resize',
    keep_ratio=True)
crop = dict(type='mmdet.RandomCrop', allow_negative_crop=True)
flip_and_colors = [
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PhotoMetricDistortion')
]
pack = dict(type='PackMultiTaskInputs')
# predictions are compared at the size of the file: annotations after Resize
test_resize = dict(type='mmdet.Resize', keep_ratio=True)

train_dataloader = dict(
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='PartialAnnotationSampler'),
    dataset=dict(type='MixedSourceDataset'))
val_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='MixedSourceDataset'))
test_dataloader = val_dataloader

box_metric = dict(type='BoxAPMetric', classwise=True)
mask_metric = dict(type='SegIoUMetric', iou_metrics=['mIoU'])
tag_metric = dict(type='ImageLabelAPMetric')
val_evaluator = dict(type='MultiTaskEvaluator')
test_evaluator = val_evaluator
