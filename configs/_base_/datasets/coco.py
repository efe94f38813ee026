# COCO 2017: boxes of an eighth of the annotated images of train2017, masks of
# another eighth, validation on val2017. Masks are the instances drawn as a map
# of the 80 classes on a real background; what belongs to no class ("stuff") is
# background. COCO_DET and COCO_SEG choose other lists of coco_lists.py.
_base_ = './own_data.py'

data_root = '{{$COCO_ROOT:data/coco}}'.rstrip('/') + '/'
det_list = 'annotations/{{$COCO_DET:mmbombo/det_train}}.json'
seg_list = 'annotations/{{$COCO_SEG:mmbombo/seg_train}}.json'
val_list = 'annotations/instances_val2017.json'
data_help = (
    'How to get COCO 2017: '
    '1. unpack train2017.zip (18 GB), val2017.zip (1 GB) and '
    f'annotations_trainval2017.zip so that {data_root}train2017, '
    f'{data_root}val2017 and {data_root}annotations exist; '
    '2. make the lists: python tools/dataset_converters/coco_lists.py '
    f'{data_root}annotations/instances_train2017.json '
    '--det 14655 --seg 14655; '
    '3. draw the masks: python tools/dataset_converters/coco_semantic.py '
    f'{data_root}annotations/instances_train2017.json '
    f'{data_root}semantic/train2017 --only '
    f'{data_root}annotations/mmbombo/det_train.json '
    f'{data_root}annotations/mmbombo/seg_train.json, and the same for '
    'val2017 without --only')
det_classes = ('person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus',
               'train', 'truck', 'boat', 'traffic light', 'fire hydrant',
               'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog',
               'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe',
               'backpack', 'umbrella', 'handbag', 'tie', 'suitcase', 'frisbee',
               'skis', 'snowboard', 'sports ball', 'kite', 'baseball bat',
               'baseball glove', 'skateboard', 'surfboard', 'tennis racket',
               'bottle', 'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl',
               'banana', 'apple', 'sandwich', 'orange', 'broccoli', 'carrot',
               'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch',
               'potted plant', 'bed', 'dining table', 'toilet', 'tv', 'laptop',
               'mouse', 'remote', 'keyboard', 'cell phone', 'microwave',
               'oven', 'toaster', 'sink', 'refrigerator', 'book', 'clock',
               'vase', 'scissors', 'teddy bear', 'hair drier', 'toothbrush')
seg_classes = ('background', ) + det_classes
class_map = dict(
    det_classes=det_classes, seg_classes=seg_classes, background='background')

# (width, height): the short side becomes 640, the long side at most 1066
scale = (1066, 640)
load, pack = _base_.load, _base_.pack
geometry = [
    dict(_base_.resize, scale=scale, ratio_range=(0.5, 1.5)),
    dict(_base_.crop, crop_size=(640, 640)), *_base_.flip_and_colors
]
load_pseudo_mask = dict(
    type='LoadPseudoMask',
    class_map=class_map,
    method='grabcut_ignore',
    cache_dir=data_root + 'mmbombo_pseudo_masks')
label_components = dict(
    type='LabelComponents', class_map=class_map, min_area=80)
train_pipeline = [*load, *geometry, pack]
# the same, and prepares the weak labels of what a source does not declare
weak_pipeline = [*load, load_pseudo_mask, *geometry, label_components, pack]
test_pipeline = [load[0], dict(_base_.test_resize, scale=scale), load[1], pack]

coco2017 = dict(
    type='PartialAnnotationDataset',
    metainfo=dict(classes=det_classes, seg_classes=seg_classes),
    # train2017 has boxes without area
    drop_bad_boxes=True,
    data_help=data_help)
train2017 = dict(
    type='mmdet.CocoDataset',
    data_root=data_root,
    data_prefix=dict(img='train2017/', seg='semantic/train2017/'))
det_source = dict(
    coco2017,
    source='det',
    annotation_kinds=('bbox', ),
    dataset=dict(train2017, ann_file=det_list),
    pipeline=train_pipeline)
seg_source = dict(
    coco2017,
    source='seg',
    annotation_kinds=('sem_seg', ),
    dataset=dict(train2017, ann_file=seg_list),
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
    batch_size=16,
    num_workers=4,
    sampler=dict(batch_size=16, source_ratio=[1, 1]),
    dataset=dict(datasets=[det_source, seg_source]))
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    dataset=dict(
        coco2017,
        source='val',
        annotation_kinds=('bbox', 'sem_seg'),
        dataset=dict(
            type='mmdet.CocoDataset',
            data_root=data_root,
            ann_file=val_list,
            data_prefix=dict(img='val2017/', seg='semantic/val2017/')),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    metrics=dict(det=_base_.box_metric, seg=_base_.mask_metric))
test_evaluator = val_evaluator
