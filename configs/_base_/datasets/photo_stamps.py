# PhotoStamps: photographs of objects on photographs, in the layout of Pascal
# VOC. Half of the training images may be read for their boxes, the other half
# for their masks. Made by tools/dataset_converters/photo_stamps.py.
_base_ = './own_data.py'

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
load, pack = _base_.load, _base_.pack
geometry = [
    dict(_base_.resize, scale=scale),
    dict(_base_.crop, crop_size=crop_size), *_base_.flip_and_colors
]
load_pseudo_mask = dict(
    type='LoadPseudoMask',
    class_map=class_map,
    method='grabcut_ignore',
    cache_dir=data_root + 'pseudo_masks')
label_components = dict(
    type='LabelComponents', class_map=class_map, min_area=min_area)
train_pipeline = [*load, *geometry, pack]
# the same, and prepares the weak labels of what a source does not declare
weak_pipeline = [*load, load_pseudo_mask, *geometry, label_components, pack]
test_resize = dict(_base_.test_resize, scale=scale)
test_pipeline = [load[0], test_resize, load[1], pack]

photo_stamps = dict(
    type='PartialVOCDataset',
    data_root=data_root,
    data_help=data_help,
    metainfo=metainfo)
det_source = dict(
    photo_stamps,
    ann_file='ImageSets/Main/det_train.txt',
    source='det',
    annotation_kinds=('bbox', ),
    pipeline=train_pipeline)
seg_source = dict(
    photo_stamps,
    ann_file='ImageSets/Main/seg_train.txt',
    source='seg',
    annotation_kinds=('sem_seg', ),
    pipeline=train_pipeline)
# the same images, with the weak labels of what they lack
weak_sources = [
    dict(source, pipeline=weak_pipeline) for source in (det_source, seg_source)
]
# for an oracle: the same images, each with boxes and mask
oracle_sources = [
    dict(source, annotation_kinds=('bbox', 'sem_seg'))
    for source in (det_source, seg_source)
]

train_dataloader = dict(
    batch_size=12,
    sampler=dict(batch_size=12, source_ratio=[1, 1]),
    dataset=dict(datasets=[det_source, seg_source]))
val_dataloader = dict(
    batch_size=8,
    dataset=dict(
        photo_stamps,
        ann_file='ImageSets/Main/val.txt',
        source='val',
        annotation_kinds=('bbox', 'sem_seg'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    metrics=dict(det=_base_.box_metric, seg=_base_.mask_metric))
test_evaluator = val_evaluator

# For PseudoLabelQualityHook: both training halves as training may read them
# and with the annotation that it may not, without randomness.
fixed_pipeline = [*load, load_pseudo_mask, test_resize, label_components, pack]
quality_weak = dict(
    type='MixedSourceDataset',
    datasets=[
        dict(det_source, pipeline=fixed_pipeline),
        dict(seg_source, pipeline=fixed_pipeline)
    ])
quality_truth = dict(
    type='MixedSourceDataset',
    datasets=[
        dict(source, pipeline=fixed_pipeline) for source in oracle_sources
    ])
