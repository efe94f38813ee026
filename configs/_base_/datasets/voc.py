# Pascal VOC 2007 and 2012: boxes of one half of the images of both years,
# masks of the other half (VOC2012's official ones over SBD's), validation on
# the images of VOC2012's segmentation validation list that have boxes too.
# VOC_DET, VOC_SEG and VOC_VAL choose other lists, such as mmbombo/det2_train
# of voc_lists.py, or MXEdet/train where the authors' lists are unpacked (for
# an oracle, `voc_lists.py --by-mask` divides such a list).
_base_ = './own_data.py'

data_root = '{{$VOC_ROOT:data/VOCdevkit}}'.rstrip('/') + '/'
det_list = 'ImageSets/{{$VOC_DET:mmbombo/det_train}}.txt'
det_masked_list = 'ImageSets/{{$VOC_DET:mmbombo/det_train}}_masked.txt'
det_unmasked_list = 'ImageSets/{{$VOC_DET:mmbombo/det_train}}_unmasked.txt'
seg_list = 'ImageSets/{{$VOC_SEG:mmbombo/seg_train}}.txt'
val_list = 'ImageSets/{{$VOC_VAL:mmbombo/val}}.txt'
data_help = (
    'Pascal VOC takes three steps. 1. Unpack VOCtrainval_06-Nov-2007.tar and '
    'VOCtrainval_11-May-2012.tar of the challenge\'s site so that '
    f'{data_root}VOC2007/JPEGImages and {data_root}VOC2012/JPEGImages exist. '
    '2. Unpack benchmark.tgz of SBD, and make VOC2012/SegmentationClassAug: '
    'python tools/dataset_converters/sbd_masks.py benchmark_RELEASE/dataset '
    f'{data_root}VOC2012 3. Make the lists: '
    f'python tools/dataset_converters/voc_lists.py {data_root}')
det_classes = ('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car',
               'cat', 'chair', 'cow', 'diningtable', 'dog', 'horse',
               'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train',
               'tvmonitor')
seg_classes = ('background', ) + det_classes
metainfo = dict(classes=det_classes, seg_classes=seg_classes)
class_map = dict(
    det_classes=det_classes, seg_classes=seg_classes, background='background')

# (width, height): the short side becomes 320, the long side at most twice it
scale = (640, 320)
load, pack = _base_.load, _base_.pack
geometry = [
    dict(_base_.resize, scale=scale, ratio_range=(0.8, 1.5)),
    dict(_base_.crop, crop_size=(320, 320)), *_base_.flip_and_colors
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

voc2007 = dict(
    type='PartialVOCDataset',
    data_root=data_root + 'VOC2007/',
    data_help=data_help,
    metainfo=metainfo)
voc2012 = dict(
    type='PartialVOCDataset',
    data_root=data_root + 'VOC2012/',
    data_help=data_help,
    metainfo=metainfo,
    data_prefix=dict(seg_map_path='SegmentationClassAug'))
det_source = dict(
    type='ConcatSource',
    source='det',
    annotation_kinds=('bbox', ),
    datasets=[
        dict(voc2007, ann_file=det_list),
        dict(voc2012, ann_file=det_list)
    ],
    pipeline=train_pipeline)
seg_source = dict(
    type='ConcatSource',
    source='seg',
    annotation_kinds=('sem_seg', ),
    datasets=[
        dict(voc2007, ann_file=seg_list),
        dict(voc2012, ann_file=seg_list)
    ],
    pipeline=train_pipeline)
# the same images, with the weak labels of what they lack
weak_sources = [
    dict(source, pipeline=weak_pipeline) for source in (det_source, seg_source)
]
# For an oracle: the same images, each with boxes and, as far as there is one,
# a mask. VOC and SBD have masks of 2,820 of the 7,558 images with boxes.
both_kinds = ('bbox', 'sem_seg')
oracle_sources = [
    dict(
        det_source,
        source='det_unmasked',
        datasets=[
            dict(voc2007, ann_file=det_unmasked_list),
            dict(voc2012, ann_file=det_unmasked_list)
        ]),
    dict(
        det_source,
        source='det_masked',
        annotation_kinds=both_kinds,
        datasets=[dict(voc2012, ann_file=det_masked_list)]),
    dict(seg_source, annotation_kinds=both_kinds)
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
        voc2012,
        ann_file=val_list,
        source='val',
        annotation_kinds=('bbox', 'sem_seg'),
        # the official masks alone
        data_prefix=dict(seg_map_path='SegmentationClass'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    metrics=dict(
        det=[
            _base_.box_metric,
            dict(type='VOCAPMetric', mode='area', prefix='voc')
        ],
        seg=_base_.mask_metric))
test_evaluator = val_evaluator
