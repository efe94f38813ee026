# PhotoStamps: photographs of objects on photographs, in the layout of Pascal
# VOC. Half of the training images may be read for their boxes, the other half
# for their masks. Made by tools/dataset_converters/photo_stamps.py.
data_root = 'data/photo_stamps/'
data_help = 'python tools/dataset_converters/photo_stamps.py --data photos'
det_classes = ('bird', 'mammal', 'flower', 'produce', 'household', 'coin')
seg_classes = ('background', ) + det_classes
palette = [(230, 60, 50), (60, 180, 75), (240, 90, 200), (255, 170, 30),
           (60, 120, 230), (70, 220, 220)]
metainfo = dict(
    classes=det_classes,
    palette=palette,
    seg_classes=seg_classes,
    seg_palette=[(0, 0, 0)] + palette)
class_map = dict(
    det_classes=det_classes, seg_classes=seg_classes, background='background')

# The short side in pixels; the long side becomes at most twice it.
short_side = int('{{$PHOTO_STAMPS_SHORT_SIDE:224}}')
scale = (2 * short_side, short_side)  # (width, height)
crop_size = (short_side, short_side)
# the smallest region that is an object, 80 pixels at 224
min_area = round(80 * (short_side / 224)**2)
geometry = [
    dict(
        type='mmdet.RandomResize',
        scale=scale,
        ratio_range=(0.8, 1.3),
        resize_type='mmdet.Resize',
        keep_ratio=True),
    dict(
        type='mmdet.RandomCrop', crop_size=crop_size,
        allow_negative_crop=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PhotoMetricDistortion')
]
# reads the annotations that a source declares, and no others
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadPartialAnnotations'), *geometry,
    dict(type='PackMultiTaskInputs')
]
# the same, and prepares the weak labels of what a source does not declare
weak_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadPartialAnnotations'),
    dict(
        type='LoadPseudoMask',
        class_map=class_map,
        method='grabcut_ignore',
        cache_dir=data_root + 'pseudo_masks'), *geometry,
    dict(type='LabelComponents', class_map=class_map, min_area=min_area),
    dict(type='PackMultiTaskInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=scale, keep_ratio=True),
    # after Resize: predictions are compared at the original size
    dict(type='LoadPartialAnnotations'),
    dict(type='PackMultiTaskInputs')
]

det_source = dict(
    type='PartialVOCDataset',
    data_root=data_root,
    data_help=data_help,
    ann_file='ImageSets/Main/det_train.txt',
    source='det',
    annotation_kinds=('bbox', ),
    metainfo=metainfo,
    pipeline=train_pipeline)
seg_source = dict(
    type='PartialVOCDataset',
    data_root=data_root,
    data_help=data_help,
    ann_file='ImageSets/Main/seg_train.txt',
    source='seg',
    annotation_kinds=('sem_seg', ),
    metainfo=metainfo,
    pipeline=train_pipeline)

train_dataloader = dict(
    batch_size=12,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(
        type='PartialAnnotationSampler', batch_size=12, source_ratio=[1, 1]),
    dataset=dict(
        type='MixedSourceDataset', datasets=[det_source, seg_source]))
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='PartialVOCDataset',
        data_root=data_root,
        data_help=data_help,
        ann_file='ImageSets/Main/val.txt',
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

# For PseudoLabelQualityHook: both training halves as training may read them
# and with the annotation that it may not, without randomness.
fixed_pipeline = [
    weak_pipeline[0], weak_pipeline[1], weak_pipeline[2],
    dict(type='mmdet.Resize', scale=scale, keep_ratio=True),
    weak_pipeline[-2], weak_pipeline[-1]
]
quality_weak = dict(
    type='MixedSourceDataset',
    datasets=[
        dict(det_source, pipeline=fixed_pipeline),
        dict(seg_source, pipeline=fixed_pipeline)
    ])
both_kinds = ('bbox', 'sem_seg')
quality_truth = dict(
    type='MixedSourceDataset',
    datasets=[
        dict(det_source, annotation_kinds=both_kinds, pipeline=fixed_pipeline),
        dict(seg_source, annotation_kinds=both_kinds, pipeline=fixed_pipeline)
    ])
