# Copyright (c) mmbombo contributors.
import random
import shutil

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader, Subset

from mmbombo.datasets import (DatasetError, MixedSourceDataset,
                              PartialAnnotationSampler, SeededIndex)
from mmbombo.datasets.source_tree import leaf_datasets
from mmbombo.evaluation import summarize_sources
from mmbombo.registry import DATASETS
from mmbombo.utils import UserError

CLASS_MAP = dict(
    det_classes=('cat', 'dog'), seg_classes=('background', 'cat', 'dog'))
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadPartialAnnotations'),
    dict(type='LoadPseudoMask', class_map=CLASS_MAP, method='box'),
    dict(
        type='mmdet.RandomResize',
        resize_type='mmdet.Resize',
        scale=(64, 64),
        ratio_range=(0.7, 1.5),
        keep_ratio=True),
    dict(type='mmdet.RandomCrop', crop_size=(48, 48)),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PhotoMetricDistortion'),
    dict(type='LabelComponents', class_map=CLASS_MAP),
    dict(type='PackMultiTaskInputs')
]


def source(root, ann, kinds, pipeline=PIPELINE, **kwargs):
    kwargs.setdefault('metainfo', dict(classes=('cat', 'dog')))
    return dict(
        type='PartialVOCDataset',
        data_root=str(root),
        ann_file=f'ImageSets/Main/{ann}.txt',
        annotation_kinds=kinds,
        pipeline=pipeline,
        **kwargs)


def make(root, **kwargs):
    return MixedSourceDataset([
        source(root, 'det', ('bbox', ), **kwargs),
        source(root, 'seg', ('sem_seg', ), **kwargs)
    ])


def flatten(batch):
    """Everything in a batch, as comparable values."""
    values = [batch['inputs']]
    for sample in batch['data_samples']:
        values.append(sample.metainfo)
        for key in sorted(sample.keys()):
            field = sample.get(key)
            values.append(key)
            if isinstance(field, torch.Tensor):
                values.append(field)
                continue
            for name, value in sorted(field.items()):
                values += [name, getattr(value, 'tensor', value)]
    return values


def assert_same(one, two):
    one, two = flatten(one), flatten(two)
    assert len(one) == len(two)
    for a, b in zip(one, two):
        if isinstance(a, torch.Tensor):
            assert a.dtype == b.dtype and a.equal(b)
        elif isinstance(a, list):
            assert all(x.equal(y) for x, y in zip(a, b))
        else:
            assert a == b


def batches(data, number, num_workers=0, skip=0):
    sampler = PartialAnnotationSampler(data, batch_size=4, seed=7)
    sampler.skip(4 * skip)
    loader = iter(
        DataLoader(
            data,
            batch_size=4,
            sampler=sampler,
            num_workers=num_workers,
            collate_fn=pseudo_collate))
    return [next(loader) for _ in range(number)]


def test_numbers_and_names(voc):
    data = make(voc)
    assert data.source_sizes == [3, 3] and len(data) == 6
    assert data.cumulative_sizes == [3, 6]
    assert [(x.source, x.annotation_kinds) for x in data.datasets] == [
        ('det', ('bbox', )), ('seg', ('sem_seg', ))]
    assert data.annotation_kinds == ('bbox', 'sem_seg')
    infos = [data.get_data_info(i) for i in range(6)]
    assert [info['sample_idx'] for info in infos] == list(range(6))
    assert [info['source'] for info in infos] == ['det'] * 3 + ['seg'] * 3
    assert [info['img_id'] for info in infos] == [f'im{i}' for i in range(6)]


def test_number_of_workers_changes_nothing(voc):
    data = make(voc)
    for one, two in zip(batches(data, 4), batches(data, 4, num_workers=2)):
        assert_same(one, two)


def test_a_resumed_stream_has_the_same_augmentation(voc):
    data = make(voc)
    for one, two in zip(batches(data, 5)[3:], batches(data, 2, skip=3)):
        assert_same(one, two)


def test_draws_of_one_image_differ(voc):
    data = make(voc)
    first, second = data[SeededIndex(1, 5)], data[SeededIndex(1, 6)]
    assert not torch.equal(first['inputs'], second['inputs'])
    assert torch.equal(first['inputs'], data[SeededIndex(1, 5)]['inputs'])


class DrawsFromEveryGenerator(BaseTransform):

    def transform(self, results):
        results['drawn'] = (random.random(), np.random.rand(),
                            torch.rand(1).item())
        return results


def test_all_generators_are_seeded_and_restored(voc):
    steps = [dict(type='LoadImageFromFile'), DrawsFromEveryGenerator()]
    data = make(voc, pipeline=steps)
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    drawn = data[SeededIndex(0, 2**62 + 1)]['drawn']
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == \
        expected
    assert drawn == data[SeededIndex(5, 2**62 + 1)]['drawn'] != expected
    # A plain index goes on with the generators as they are.
    assert data[0]['drawn'] != data[0]['drawn']


def test_hidden_labels_do_not_leak(voc):
    """Without the masks of the box-only images and the boxes of the mask-only
    ones, every batch is the same."""
    before = batches(make(voc), 6)
    for k in range(3):
        (voc / f'SegmentationClass/im{k}.png').unlink()
        (voc / f'Annotations/im{k + 3}.xml').write_text('<noise/>')
    for one, two in zip(before, batches(make(voc), 6)):
        assert_same(one, two)


def test_errors_are_raised_and_not_replaced_by_another_image(voc):
    data = make(voc)
    (voc / 'SegmentationClass/im4.png').unlink()
    with pytest.raises(DatasetError, match='im4.png, listed in .*seg.txt'):
        data[4]
    shutil.copy(voc / 'SegmentationClass/im3.png',
                voc / 'SegmentationClass/im4.png')
    with pytest.raises(DatasetError, match='im4.png: the mask is 66x43'):
        data[SeededIndex(4, 1)]


def test_all_mixes_of_kinds_share_a_batch(voc):
    data = MixedSourceDataset([
        source(voc, 'all', kinds, source=name)
        for name, kinds in (('none', ()), ('boxes', ('bbox', )),
                            ('masks', ('sem_seg', )), ('both', ('bbox',
                                                                'sem_seg')))
    ])
    batch = batches(data, 1)[0]['data_samples']
    assert [sorted(sample.keys()) for sample in batch] == [
        [],
        [
            'gt_instances', 'ignored_instances', 'pseudo_classes',
            'pseudo_sem_seg'
        ],
        ['component_map', 'components', 'gt_sem_seg'],
        ['gt_instances', 'gt_sem_seg', 'ignored_instances'],
    ]
    assert [sample.source for sample in batch] == [
        x.source for x in data.datasets]


@pytest.mark.parametrize('change, match', [
    (dict(source='det'), "'det'.*more than once"),
    (dict(annotation_kinds=('bbox', 'sem_seg')),
     "metainfo.'classes'. of source 'seg' contradicts that of source 'det'"),
])
def test_contradictions_are_named(voc, change, match):
    second = source(
        voc, 'seg', ('sem_seg', ), metainfo=dict(classes=('dog', 'cat')))
    second.update(change)
    with pytest.raises(DatasetError, match=match):
        MixedSourceDataset([source(voc, 'det', ('bbox', )), second])


def test_the_source_with_the_kind_names_the_classes(voc):
    """A source without boxes may leave the detection classes at default."""
    data = MixedSourceDataset([
        source(voc, 'det', ('bbox', )),
        source(
            voc,
            'seg', ('sem_seg', ),
            metainfo=dict(seg_classes=('background', 'feline', 'canine')))
    ])
    assert data.metainfo['classes'] == ('cat', 'dog')
    assert len(data.metainfo['palette']) == 2
    assert data.metainfo['seg_classes'] == ('background', 'feline', 'canine')
    assert data.metainfo['ignore_index'] == 255


def test_what_is_no_source_is_refused(voc):
    with pytest.raises(DatasetError, match='`datasets` is empty'):
        MixedSourceDataset([])
    with pytest.raises(UserError, match='PartialAnnotationDataset'):
        MixedSourceDataset([
            dict(
                type='mmdet.XMLDataset',
                data_root=str(voc),
                ann_file='ImageSets/Main/all.txt',
                data_prefix=dict(sub_data_root=''),
                metainfo=dict(classes=('cat', 'dog')))
        ])


def test_evaluation_through_the_default_sampler(voc):
    data = MixedSourceDataset([
        source(
            voc,
            'all', ('bbox', 'sem_seg'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadPartialAnnotations'),
                dict(type='PackMultiTaskInputs')
            ],
            test_mode=True)
    ])
    sample = data[2]['data_samples']
    assert sample.instances == [
        dict(bbox=[10., 5., 30., 22.], bbox_label=0, ignore_flag=0)
    ]
    assert sample.sample_idx == 2 and sample.img_id == 'im2'


def wrap(wrapper, inner):
    if wrapper == 'ConcatDataset':
        return dict(type=wrapper, datasets=[inner, inner])
    options = dict(
        RepeatDataset=dict(times=2),
        ClassBalancedDataset=dict(oversample_thr=.1, lazy_init=True))
    return dict(
        type=f'mmdet.{wrapper}' if 'Mix' in wrapper else wrapper,
        dataset=inner,
        **options.get(wrapper, dict(pipeline=[])))


@pytest.mark.parametrize('wrapper', [
    'RepeatDataset', 'ConcatDataset', 'ClassBalancedDataset',
    'MultiImageMixDataset'])
def test_wrappers_hide_sources(voc, wrapper):
    """Batches would no longer be composed, and draws lose their seeds."""
    boxes, masks = (source(voc, 'det', ('bbox', )),
                    source(voc, 'seg', ('sem_seg', )))
    both = dict(type='MixedSourceDataset', datasets=[boxes, masks])
    for inner, names in ((boxes, "'det'"), (both, "'det', 'seg'")):
        data = DATASETS.build(wrap(wrapper, inner))
        with pytest.raises(
                UserError, match=f'^{wrapper} hides .*{names}.*Drop it'):
            PartialAnnotationSampler(data, batch_size=4)
        # All checks see the same sources inside.
        leaves = leaf_datasets(data)
        assert [leaf.source for leaf in leaves] == [
            summary.name for summary in summarize_sources(data)]
        assert {leaf.source for leaf in leaves} == set(
            names.replace("'", '').split(', '))
    with pytest.raises(UserError, match=f'^{wrapper} hides .*Drop it'):
        MixedSourceDataset([wrap(wrapper, boxes), masks])


def test_part_of_a_set_hides_sources(voc):
    with pytest.raises(UserError, match='^Subset hides .*Drop it'):
        PartialAnnotationSampler(Subset(make(voc), [0, 1]), batch_size=4)
