# PhotoStamps for a segmentor of MMSegmentation: all 1,600 training images with
# their masks.
_base_ = './photo_stamps.py'

# The short side in pixels; the long side becomes at most twice it.
short_side = int('{{$PHOTO_STAMPS_SHORT_SIDE:320}}')
scale = (2 * short_side, short_side)  # (width, height)
load = [dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')]
geometry = [
    dict(
        type='RandomResize',
        scale=scale,
        ratio_range=(0.8, 1.3),
        resize_type='mmseg.Resize',
        keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size=(short_side, short_side)),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion')
]
test_resize = dict(type='mmseg.Resize', scale=scale, keep_ratio=True)
pack = dict(type='mmseg.PackSegInputs')
train_pipeline = [*load, *geometry, pack]
test_pipeline = [load[0], test_resize, load[1], pack]

masks = dict(
    type='mmseg.BaseSegDataset',
    data_root=_base_.data_root,
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
    # what MMSegmentation and our visualizer ask for
    metainfo=dict(
        classes=_base_.seg_classes,
        palette=_base_.metainfo.seg_palette,
        seg_classes=_base_.seg_classes,
        seg_palette=_base_.metainfo.seg_palette))
loader = dict(_delete_=True, num_workers=2, persistent_workers=True)
train_dataloader = dict(
    loader,
    batch_size=12,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        masks, ann_file='ImageSets/Main/train.txt', pipeline=train_pipeline))
val_dataloader = dict(
    loader,
    batch_size=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        masks,
        ann_file='ImageSets/Main/val.txt',
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    _delete_=True,
    type='Evaluator',
    metrics=[
        dict(type='SegIoUMetric', prefix='seg'),
        dict(type='TrimapAccuracyMetric', prefix='seg')
    ])
test_evaluator = val_evaluator
