# PhotoStamps with panoptic segments and instances, whose masks overlap.
# PHOTO_STAMPS chooses another folder, such as data/photo_stamps_pairs.
_base_ = './coco_panoptic.py'

data_root = '{{$PHOTO_STAMPS:data/photo_stamps}}'.rstrip('/') + '/'
thing_classes = ('bird', 'mammal', 'flower', 'produce', 'household', 'coin')
stuff_classes = ('background', )
palette = [(230, 60, 50), (60, 180, 75), (240, 90, 200), (255, 170, 30),
           (60, 120, 230), (70, 220, 220), (0, 0, 0)]
short_side = int('{{$PHOTO_STAMPS_SHORT_SIDE:224}}')
scale = (2 * short_side, short_side)  # (width, height)

load, annotations, resize, flip, pack = _base_.train_pipeline
resize.scale = scale
photo_stamps = dict(
    data_root=data_root,
    metainfo=dict(
        classes=thing_classes + stuff_classes,
        seg_classes=thing_classes + stuff_classes,
        thing_classes=thing_classes,
        stuff_classes=stuff_classes,
        palette=palette))
train_dataloader = dict(
    batch_size=12,
    batch_sampler=None,
    dataset=dict(
        photo_stamps,
        ann_file='panoptic/train.json',
        instance_ann_file='instances/train.json',
        data_prefix=dict(img='JPEGImages/', seg='panoptic/train/'),
        pipeline=[
            load, annotations, resize, flip,
            dict(type='mmdet.PhotoMetricDistortion'), pack
        ]))
val_dataloader = dict(
    batch_size=8,
    dataset=dict(
        photo_stamps,
        ann_file='panoptic/val.json',
        instance_ann_file='instances/val.json',
        data_prefix=dict(img='JPEGImages/', seg='panoptic/val/'),
        pipeline=[load, resize, _base_.seg_map, _base_.pack]))
test_dataloader = val_dataloader
val_evaluator = [
    dict(
        type='PanopticQualityMetric',
        ann_file=data_root + 'panoptic/val.json'),
    dict(type='OrderAccuracy')
]
test_evaluator = val_evaluator
