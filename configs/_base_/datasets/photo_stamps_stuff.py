# PhotoStamps with stuff: the same objects lie on regions of sky, building,
# foliage, water and ground, which masks show and boxes do not. There is no
# background class. Made by tools/dataset_converters/photo_stamps.py --stuff.
_base_ = './photo_stamps.py'

data_root = 'data/photo_stamps_stuff/'
data_help = ('python tools/dataset_converters/photo_stamps.py --data photos '
             '--stuff')
det_classes = _base_.det_classes
seg_classes = ('sky', 'building', 'foliage', 'water', 'ground') + det_classes
metainfo = dict(
    classes=det_classes,
    palette=_base_.palette,
    seg_classes=seg_classes,
    seg_palette=[(150, 190, 255), (150, 110, 90), (20, 100, 20), (20, 30, 160),
                 (200, 190, 140)] + _base_.palette)
class_map = dict(
    det_classes=det_classes, seg_classes=seg_classes, background=None)
place = dict(data_root=data_root, data_help=data_help, metainfo=metainfo)

mask_place = dict(class_map=class_map, cache_dir=data_root + 'pseudo_masks')
weak_pipeline = _base_.weak_pipeline
weak_pipeline[2].update(mask_place)
weak_pipeline[-2].update(class_map=class_map)

det_source = place
seg_source = place
weak_sources = [
    dict(x, pipeline=weak_pipeline, **place) for x in _base_.weak_sources
]
oracle_sources = [dict(x, **place) for x in _base_.oracle_sources]
train_dataloader = dict(
    dataset=dict(datasets=[
        dict(_base_.det_source, **place),
        dict(_base_.seg_source, **place)
    ]))
val_dataloader = dict(dataset=place)
test_dataloader = val_dataloader

fixed_pipeline = _base_.fixed_pipeline
fixed_pipeline[2].update(mask_place)
fixed_pipeline[-2].update(class_map=class_map)
fixed = dict(place, pipeline=fixed_pipeline)
quality_weak = dict(datasets=[
    dict(_base_.det_source, **fixed),
    dict(_base_.seg_source, **fixed)
])
quality_truth = dict(
    datasets=[dict(x, **fixed) for x in _base_.oracle_sources])
