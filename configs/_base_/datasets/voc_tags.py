# Tags of Pascal VOC 2012's 10,582 images `trainaug`: the classes that their
# XML files name. Validation on the masks of its list `val`.
_base_ = './voc.py'

data_help = (
    'The tags of Pascal VOC take two steps. 1. Unpack '
    "VOCtrainval_11-May-2012.tar of the challenge's site so that "
    f'{_base_.data_root}VOC2012/JPEGImages exists. 2. Unpack benchmark.tgz of '
    'SBD, whose images are the most of the list, and write it: python '
    'tools/dataset_converters/sbd_masks.py benchmark_RELEASE/dataset '
    f'{_base_.data_root}VOC2012')
metainfo = dict(_base_.metainfo, cls_classes=_base_.det_classes)
flip = dict(type='mmdet.RandomFlip', prob=0.5)
geometry = [
    # the long side of almost all images is 500
    dict(
        type='mmdet.RandomResize',
        scale=(500, 500),
        ratio_range=(0.7, 1.3),
        resize_type='mmdet.Resize',
        keep_ratio=True),
    flip,
    dict(
        type='mmdet.RandomCrop',
        crop_size=(321, 321),
        allow_negative_crop=True)
]
train_pipeline = [*_base_.load, *geometry, _base_.pack]
# at the size that they have
test_pipeline = [*_base_.load, _base_.pack]

tag_source = dict(
    _base_.voc2012,
    source='tags',
    annotation_kinds=('image_label', ),
    ann_file='ImageSets/mmbombo/trainaug.txt',
    data_help=data_help,
    metainfo=metainfo,
    pipeline=train_pipeline)
train_dataloader = dict(
    batch_size=4,
    sampler=dict(batch_size=4, source_ratio=[1]),
    dataset=dict(datasets=[tag_source]))
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        ann_file='ImageSets/Segmentation/val.txt',
        annotation_kinds=('sem_seg', ),
        data_help=data_help,
        metainfo=metainfo,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    metrics=dict(_delete_=True, seg=_base_.val_evaluator.metrics.seg))
test_evaluator = val_evaluator
