# Copyright (c) mmbombo contributors.
"""Loading, pseudo masks, components and packing, by value."""
import numpy as np
import pytest
import torch
from toolbox import class_ids

from mmbombo.datasets import (DatasetError, PartialVOCDataset, PipelineError,
                              SeededIndex)
from mmbombo.datasets.transforms import LoadPartialAnnotations, LoadPseudoMask
from mmbombo.models.data_preprocessors import MultiTaskDataPreprocessor
from mmbombo.registry import TRANSFORMS

CLASS_MAP = dict(
    det_classes=('cat', 'dog'), seg_classes=('background', 'cat', 'dog'))
PSEUDO = dict(type='LoadPseudoMask', class_map=CLASS_MAP, method='box')
COMPONENTS = dict(type='LabelComponents', class_map=CLASS_MAP, min_area=10)


def make(root, kinds, steps=(), pseudo=False):
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadPartialAnnotations'), *([PSEUDO] * pseudo), *steps,
        COMPONENTS,
        dict(type='PackMultiTaskInputs')
    ]
    return PartialVOCDataset(
        data_root=str(root),
        ann_file='ImageSets/Main/all.txt',
        annotation_kinds=kinds,
        metainfo=dict(classes=('cat', 'dog')),
        pipeline=pipeline)


FLIP = [dict(type='mmdet.RandomFlip', prob=1.)]


def flipped(k):
    """The map of image k, flipped."""
    expected = np.zeros((40 + k, 60 + 2 * k), np.uint8)
    expected[5:20 + k, 10:30] = 1 + k % 2
    return torch.from_numpy(expected[:, ::-1].copy())


def pseudo_ids(sample):
    """The classes (H, W) uint8 of the pseudo mask, 255 where not one."""
    return torch.from_numpy(
        class_ids(sample.pseudo_sem_seg.sem_seg[0], sample.pseudo_classes))


def test_box_image(voc):
    packed = make(voc, ('bbox', ), FLIP, pseudo=True)[1]
    sample = packed['data_samples']
    assert packed['inputs'].shape == (3, 41, 62)
    assert packed['inputs'].dtype == torch.uint8
    assert sample.gt_instances.bboxes.tensor.tolist() == [[32, 5, 52, 21]]
    assert sample.gt_instances.labels.tolist() == [1]
    assert len(sample.ignored_instances.labels) == 0
    # The box is exactly the object here, so its fill is the hidden mask.
    assert sample.pseudo_sem_seg.sem_seg.dtype == torch.uint8
    assert pseudo_ids(sample).equal(flipped(1))
    assert sorted(sample.keys()) == [
        'gt_instances', 'ignored_instances', 'pseudo_classes',
        'pseudo_sem_seg'
    ]
    assert sample.metainfo['annotation_kinds'] == ('bbox', )
    assert sample.flip and sample.flip_direction == 'horizontal'


def test_difficult_boxes_are_ignored_everywhere(voc, voc_files):
    voc_files.write_xml(voc / 'Annotations/im1.xml', [
        dict(name='dog', xmin=11, ymin=6, xmax=30, ymax=21, difficult=1),
        dict(name='cat', xmin=41, ymin=6, xmax=50, ymax=15)
    ])
    sample = make(voc, ('bbox', ), pseudo=True)[1]['data_samples']
    assert sample.gt_instances.bboxes.tensor.tolist() == [[40, 5, 50, 15]]
    assert sample.ignored_instances.bboxes.tensor.tolist() == [[
        10, 5, 30, 21
    ]]
    assert sample.ignored_instances.labels.tolist() == [1]
    expected = torch.zeros(41, 62, dtype=torch.uint8)
    expected[5:21, 10:30], expected[5:15, 40:50] = 255, 1
    assert pseudo_ids(sample).equal(expected)


def test_annotated_but_empty_is_not_unannotated(voc, voc_files):
    voc_files.write_xml(voc / 'Annotations/im1.xml', [])
    sample = make(voc, ('bbox', ), FLIP, pseudo=True)[1]['data_samples']
    assert sample.gt_instances.bboxes.tensor.shape == (0, 4)
    assert sample.instances == []
    assert (pseudo_ids(sample) == 0).all()
    sample = make(voc, ('sem_seg', ), FLIP)[1]['data_samples']
    assert 'gt_instances' not in sample and 'instances' not in sample
    assert 'ignored_instances' not in sample


def test_mask_image(voc):
    sample = make(voc, ('sem_seg', ), FLIP, pseudo=True)[1]['data_samples']
    assert sample.gt_sem_seg.sem_seg[0].equal(flipped(1))
    assert sorted(sample.keys()) == [
        'component_map', 'components', 'gt_sem_seg'
    ]
    components = sample.components
    assert components.bboxes.tolist() == [[32, 5, 52, 21]]
    assert components.labels.tolist() == [2]
    assert components.areas.tolist() == [20 * 16]
    assert components.ignored.tolist() == [False]
    assert sample.component_map.data[0].equal(
        (flipped(1) == 2).to(torch.int16))


def test_components_are_those_of_the_augmented_map(voc):
    crop = [
        dict(type='mmdet.RandomCrop', crop_size=(8, 8)),
        dict(type='mmdet.Resize', scale=(16, 16))
    ]
    data = make(voc, ('sem_seg', ), crop)
    seen = set()
    for seed in range(30):
        sample = data[SeededIndex(0, seed)]['data_samples']
        on = sample.gt_sem_seg.sem_seg[0] == 1
        assert sample.component_map.data[0].equal(on.to(torch.int16))
        assert sample.components.areas.tolist() == [on.sum()] * bool(on.any())
        seen.add(int(on.sum()))
    assert len(seen) > 3


def test_image_with_both(voc):
    data = make(voc, ('bbox', 'sem_seg'), FLIP, pseudo=True)
    sample = data[2]['data_samples']
    assert sorted(sample.keys()) == [
        'gt_instances', 'gt_sem_seg', 'ignored_instances'
    ]
    assert sample.gt_sem_seg.sem_seg[0].equal(flipped(2))
    assert sample.gt_instances.bboxes.tensor.tolist() == [[34, 5, 54, 22]]


def test_unlabeled_image(voc):
    sample = make(voc, (), FLIP, pseudo=True)[2]['data_samples']
    assert sample.keys() == []
    assert sample.metainfo['annotation_kinds'] == ()


@pytest.mark.parametrize('training', [True, False])
def test_the_preprocessor_takes_every_mix(voc, training):
    sets = [
        make(voc, kinds, pseudo=True)
        for kinds in ((), ('sem_seg', ), ('bbox', ), ('bbox', 'sem_seg'))
    ]
    packed = [data[k] for k, data in enumerate(sets)]
    batch = dict(
        inputs=[one['inputs'] for one in packed],
        data_samples=[one['data_samples'] for one in packed])
    out = MultiTaskDataPreprocessor(
        mean=[0.] * 3, std=[1.] * 3, pad_size_divisor=32)(batch, training)
    assert out['inputs'].shape == (4, 3, 64, 96)
    shape = (1, 64, 96) if training else (1, 41, 62)
    samples = out['data_samples']
    assert samples[1].gt_sem_seg.sem_seg.shape == shape
    assert isinstance(samples[2].gt_instances.bboxes, torch.Tensor)
    assert 'gt_instances' not in samples[0]


def test_pseudo_mask_needs_the_original_image(voc):
    resize = dict(type='mmdet.Resize', scale=(30, 30))
    with pytest.raises(PipelineError, match='Resize stands before'):
        make(voc, ('bbox', ), [resize, PSEUDO])
    data = make(voc, ('bbox', ))
    data.pipeline.transforms[2:] = map(TRANSFORMS.build, [resize, PSEUDO])
    with pytest.raises(DatasetError, match='directly after'):
        data[0]


def test_cached_pseudo_masks(voc, tmp_path, monkeypatch):
    import mmbombo.datasets.transforms.load_pseudo_mask as module

    def read(method='grabcut', **options):
        step = dict(
            PSEUDO, method=method, cache_dir=str(tmp_path / 'c'), **options)
        data = make(voc, ('bbox', ), [step])
        return [data[k]['data_samples'].pseudo_sem_seg.sem_seg
                for k in range(6)]

    made = []
    boxes_to_mask = module.boxes_to_mask
    monkeypatch.setattr(
        module, 'boxes_to_mask', lambda *args, **kwargs:
        (made.append(args), boxes_to_mask(*args, **kwargs))[1])
    first = read()
    assert len(made) == 6
    again = read()
    assert len(made) == 6 and all(map(torch.equal, first, again))
    # Another method or option is another mask; a truncated one is remade.
    read(iterations=1)
    assert len(made) == 12
    victim = sorted((tmp_path / 'c').rglob('*.npz'))[0]
    victim.write_bytes(victim.read_bytes()[:60])
    again = read()
    read(iterations=1)
    assert len(made) == 13 and all(map(torch.equal, first, again))


def test_unknown_pseudo_mask_method():
    with pytest.raises(ValueError, match='grabcut_ignore'):
        LoadPseudoMask(CLASS_MAP, method='magic')


def test_loading_needs_declared_kinds():
    with pytest.raises(DatasetError, match='PartialAnnotationDataset'):
        LoadPartialAnnotations()(
            dict(img_path='a.jpg', sample_idx=0, instances=[]))


@pytest.mark.parametrize('border', [0, 255])
def test_ids_are_checked_again_on_loading(voc, voc_files, border):
    data = make(voc, ('sem_seg', ))
    seg_map = np.full((40, 60), 9)
    seg_map[:2] = border
    voc_files.write_mask(voc / 'SegmentationClass/im0.png', seg_map)
    with pytest.raises(DatasetError, match=r'im0.png: id\(s\) \[9\]'):
        data[0]


CLASSES = ('cat', 'dog')
STREET = dict(
    det_classes=CLASSES,
    seg_classes=('road', 'sky', *CLASSES),
    background=None)


def sets_of(sample):
    """Sets of class names at some pixels: outside, and in the box."""
    numbers = sample.pseudo_sem_seg.sem_seg[0]
    table = [{
        name
        for name, possible in zip(STREET['seg_classes'], row) if possible
    } for row in sample.pseudo_classes]
    return [
        None if numbers[y, x] == 255 else table[numbers[y, x]]
        for y, x in ((0, 0), (12, 20), (6, 11))
    ]


@pytest.mark.parametrize('options, outside, rest', [
    (dict(), {'road', 'sky'}, {'road', 'sky', 'dog'}),
    (dict(rejected='ignore'), {'road', 'sky'}, None),
    (dict(hard_labels=True), None, None),
])
@pytest.mark.parametrize('incomplete', [False, True])
def test_candidate_classes(voc, options, outside, rest, incomplete):
    """Outside of boxes, in the center of one, and in its rest."""
    pseudo = dict(
        type='LoadPseudoMask', class_map=STREET, method='box_i', **options)
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadPartialAnnotations'), pseudo,
        dict(type='PackMultiTaskInputs')
    ]
    data = PartialVOCDataset(
        data_root=str(voc), ann_file='ImageSets/Main/all.txt',
        annotation_kinds=('bbox', ), metainfo=dict(classes=CLASSES),
        incomplete_classes=['cat'] if incomplete else [], pipeline=pipeline)
    if incomplete and outside:
        outside = outside | {'cat'}
        rest = None  # all classes are possible
    assert sets_of(data[1]['data_samples']) == [outside, {'dog'}, rest]


@pytest.mark.parametrize('incomplete', [False, True])
@pytest.mark.parametrize('rejected', ['candidates', 'ignore'])
def test_where_boxes_mark_all_classes_only_the_foreground_is_known(
        voc, rejected, incomplete):
    pseudo = LoadPseudoMask(
        dict(det_classes=CLASSES, seg_classes=CLASSES, background=None),
        method='box_i', rejected=rejected)
    results = make(voc, ('bbox', )).get_data_info(1)
    for step in (dict(type='LoadImageFromFile'),
                 dict(type='LoadPartialAnnotations')):
        results = TRANSFORMS.build(step)(results)
    if incomplete:
        results['incomplete_labels'] = [0]
    mask = pseudo.pseudo_mask(results)
    assert mask.classes.tolist() == [[False, True]]
    assert set(np.unique(mask.numbers)) == {0, 255}
    assert (mask.numbers == 0).sum() == (class_ids(*mask) == 1).sum() > 0


def test_hard_labels_take_the_first_class_that_is_named(voc):
    class_map = dict(
        det_classes=CLASSES, seg_classes=('background', 'pet', *CLASSES),
        det_to_seg=dict(dog=('dog', 'pet')))
    results = make(voc, ('bbox', )).get_data_info(1)
    for step in (dict(type='LoadImageFromFile'),
                 dict(type='LoadPartialAnnotations')):
        results = TRANSFORMS.build(step)(results)
    hard, soft = (
        LoadPseudoMask(class_map, method='box',
                       hard_labels=x).pseudo_mask(results)
        for x in (True, False))
    assert set(np.unique(class_ids(*hard))) == {0, 3}
    assert hard.classes.sum(axis=1).tolist() == [1, 1]
    assert soft.classes.sum(axis=1).tolist() == [1, 2]


@pytest.mark.parametrize('names', ['cat', ['cat', 'road']])
def test_incomplete_classes_are_classes(voc, names):
    with pytest.raises(DatasetError, match='incomplete_classes=.*list'):
        PartialVOCDataset(
            data_root=str(voc), ann_file='ImageSets/Main/all.txt',
            annotation_kinds=('bbox', ), metainfo=dict(classes=CLASSES),
            incomplete_classes=names)
