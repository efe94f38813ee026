# COCO 2017 with panoptic segments, and with instances, whose masks overlap.
data_root = 'data/coco/'
scale = (1333, 800)
annotations = dict(type='LoadPanopticInstances')
seg_map = dict(annotations, with_bbox=False, with_label=False, with_mask=False)
train_pipeline = [
    dict(type='LoadImageFromFile'), annotations,
    dict(type='mmdet.Resize', scale=scale, keep_ratio=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs')
]
# predictions are compared at the size of the file
pack = dict(
    type='mmdet.PackDetInputs',
    meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
test_pipeline = [train_pipeline[0], train_pipeline[2], seg_map, pack]

coco = dict(type='CocoPanopticInstanceDataset', data_root=data_root)
train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'),
    dataset=dict(
        coco,
        ann_file='annotations/panoptic_train2017.json',
        instance_ann_file='annotations/instances_train2017.json',
        data_prefix=dict(
            img='train2017/', seg='annotations/panoptic_train2017/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        coco,
        ann_file='annotations/panoptic_val2017.json',
        instance_ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/', seg='annotations/panoptic_val2017/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [
    dict(
        type='PanopticQualityMetric',
        ann_file=data_root + 'annotations/panoptic_val2017.json'),
    dict(type='OrderAccuracy')
]
test_evaluator = val_evaluator
