# PosedRooms: 14 rooms to train on and 6 to validate, 40 posed views of each,
# with depth. Boxes are on 4 views of a training room; masks of all views are
# made from these. Made by tools/dataset_converters/posed_scenes.py, the masks
# by tools/dataset_converters/multiview_masks.py.
_base_ = './own_data.py'

data_root = 'data/posed_rooms/'
det_classes = ('chair', 'table', 'sofa', 'bookcase', 'lamp', 'vase')
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

short_side = 160
scale = (2 * short_side, short_side)  # (width, height)
min_area = 40  # the smallest region that is an object
load, pack = _base_.load, _base_.pack
geometry = [
    dict(_base_.resize, scale=scale),
    dict(_base_.crop, crop_size=(short_side, short_side)),
    *_base_.flip_and_colors
]
train_pipeline = [*load, *geometry, pack]
label_components = dict(
    type='LabelComponents', class_map=class_map, min_area=min_area)
# the same, and prepares boxes from masks
weak_pipeline = [*load, *geometry, label_components, pack]
test_pipeline = [
    load[0], dict(_base_.test_resize, scale=scale), load[1], pack
]

# 2, 4, 8 and 16 views of each room have files
boxes = data_root + 'boxes/train_4.json'
rooms = dict(type='PosedRGBDDataset', data_root=data_root, metainfo=metainfo)
# masks from boxes: 'masks' would be the true ones
train_source = dict(
    rooms,
    scenes='train_*',
    source='train',
    annotation_kinds=('sem_seg', ),
    data_prefix=dict(seg_map_path='multiview'),
    pipeline=train_pipeline)
posed_frames = dict(train_source, annotation_kinds=('depth', 'pose'))
true_masks = dict(
    annotation_kinds=('sem_seg', ), data_prefix=dict(seg_map_path='masks'))
# for tools/dataset_converters/multiview_masks.py
multiview_masks = dict(
    frames=posed_frames,
    masks=dict(boxes=boxes),
    out=data_root + 'multiview',
    truth=true_masks)

train_dataloader = dict(
    batch_size=12,
    sampler=dict(batch_size=12, source_ratio=[1]),
    dataset=dict(datasets=[train_source]))
val_dataloader = dict(
    batch_size=8,
    dataset=dict(
        rooms,
        _delete_=True,
        scenes='val_*',
        source='val',
        annotation_kinds=('sem_seg', ),
        data_prefix=dict(seg_map_path='masks'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(metrics=dict(seg=_base_.mask_metric))
test_evaluator = val_evaluator
