# Pascal VOC 2012: boxes of the images without a mask, masks of the official
# segmentation training list, and validation on images that have both.
data_root = 'data/VOCdevkit/VOC2012/'
data_help = (
    'Pascal VOC 2012 (2 GB) is on the site of the challenge as '
    'VOCtrainval_11-May-2012.tar. Unpack it so that '
    'data/VOCdevkit/VOC2012/JPEGImages exists, then run: '
    'python tools/dataset_converters/voc_lists.py data/VOCdevkit/VOC2012')
det_classes = ('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car',
               'cat', 'chair', 'cow', 'diningtable', 'dog', 'horse',
               'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train',
               'tvmonitor')
seg_classes = ('background', ) + det_classes
metainfo = dict(classes=det_classes, seg_classes=seg_classes)
class_map = dict(
    det_classes=det_classes, seg_classes=seg_classes, background='background')

scale = (640, 320)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadPartialAnnotations'),
    dict(
        type='LoadPseudoMask',
        class_map=class_map,
        method='grabcut_ignore',
        cache_dir=data_root + 'mmbombo_pseudo_masks'),
    dict(
        type='mmdet.RandomResize',
        scale=scale,
        ratio_range=(0.8, 1.5),
        resize_type='mmdet.Resize',
        keep_ratio=True),
    dict(
        type='mmdet.RandomCrop',
        crop_size=(320, 320),
        allow_negative_crop=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PhotoMetricDistortion'),
    dict(type='LabelComponents', class_map=class_map, min_area=80),
    dict(type='PackMultiTaskInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=scale, keep_ratio=True),
    dict(type='LoadPartialAnnotations'),
    dict(type='PackMultiTaskInputs')
]

train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(
        type='PartialAnnotationSampler', batch_size=16, source_ratio=[1, 1]),
    dataset=dict(
        type='MultiSourceDataset',
        datasets=[
            dict(
                type='PartialVOCDataset',
                data_root=data_root,
                data_help=data_help,
                ann_file='ImageSets/mmbombo/det_train.txt',
                source='det',
                annotation_kinds=('bbox', ),
                metainfo=metainfo,
                pipeline=train_pipeline),
            dict(
                type='PartialVOCDataset',
                data_root=data_root,
                data_help=data_help,
                ann_file='ImageSets/mmbombo/seg_train.txt',
                source='seg',
                annotation_kinds=('sem_seg', ),
                metainfo=metainfo,
                pipeline=train_pipeline)
        ]))
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='PartialVOCDataset',
        data_root=data_root,
        data_help=data_help,
        ann_file='ImageSets/mmbombo/val.txt',
        source='val',
        annotation_kinds=('bbox', 'sem_seg'),
        metainfo=metainfo,
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    type='MultiTaskEvaluator',
    metrics=dict(
        det=dict(type='BoxAPMetric', classwise=True),
        seg=dict(type='SegIoUMetric', iou_metrics=['mIoU'])))
test_evaluator = val_evaluator
