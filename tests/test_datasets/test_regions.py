# Copyright (c) mmbombo contributors.
"""Regions: loaded, moved with the image by either library, packed, drawn."""
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from toolbox import make_sample

from mmbombo.datasets import (DatasetError, PartialVOCDataset, PipelineError,
                              SeededIndex, seeded_draw)
from mmbombo.datasets.checks.training_pipeline import check_training_pipeline
from mmbombo.datasets.transforms import load_regions
from mmbombo.models.data_preprocessors import MultiTaskDataPreprocessor
from mmbombo.models.data_preprocessors.det_batch_resize import resize_sample
from mmbombo.registry import MODELS, TRANSFORMS
from mmbombo.structures import Regions
from mmbombo.utils.config_parts import inference_steps
from mmbombo.visualization import MultiTaskLocalVisualizer
from mmbombo.visualization.layers import gt_layer
from mmbombo.weak_labels import RegionProposals

#: Superpixels of 4 x 4 pixels: more than 256, numbered along rows.
SHAPE, SIDE = (80, 96), 4
NUMBERS = (np.indices(SHAPE) // SIDE)[0] * 24 + (np.indices(SHAPE) // SIDE)[1]
HELD = np.random.RandomState(0).rand(60, 480) < .02
HELD[0] = True
HELD[1:481:8] |= np.eye(480, dtype=bool)[240:248]


def mmdet(name, **kwargs):
    return dict(type=f'mmdet.{name}', **kwargs)


def mmseg(name, **kwargs):
    return dict(type=f'mmseg.{name}', **kwargs)


@pytest.fixture(autouse=True)
def proposals(monkeypatch):
    found = RegionProposals(
        NUMBERS.astype(np.uint16),
        np.stack(np.nonzero(HELD)).astype(np.uint16))
    monkeypatch.setattr(
        load_regions, 'propose_regions', lambda image, k=100: found)


def loaded(**kwargs):
    """A sample whose image and mask tell each superpixel's number."""
    image = np.stack(
        [NUMBERS % 24 * 10, NUMBERS // 24 * 10, NUMBERS * 0 + 250], -1)
    return dict(
        img=image.astype(np.uint8),
        img_path='x.png',
        img_shape=SHAPE,
        ori_shape=SHAPE,
        gt_seg_map=(NUMBERS % 200).astype(np.uint8),
        seg_fields=['gt_seg_map'],
        **kwargs)


def check(regions):
    """Boxes agree with the membership, and numbers with their count."""
    numbers, (region, member) = regions.superpixels, regions.pairs
    assert regions.bboxes.shape == (len(regions), 4)
    assert numbers.max() + 1 == regions.num_superpixels
    assert set(member.tolist()) <= set(numbers.unique().tolist())
    for i, box in enumerate(regions.bboxes.tolist()):
        mask = torch.isin(numbers, member[region == i])
        ys, xs = torch.nonzero(mask, as_tuple=True)
        assert mask.sum() >= 16
        assert box == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


RESIZE = dict(scale=(150, 120), ratio_range=(.5, 2.), keep_ratio=True)
CROP = dict(crop_size=(60, 50))
PAD = dict(type='Pad', size=(250, 330), pad_val=dict(img=0, seg=255))
PIPELINES = dict(
    mmseg=[
        mmseg('RandomResize', resize_type='mmseg.Resize', **RESIZE),
        mmseg('RandomFlip', prob=.5, direction=['horizontal', 'vertical']),
        mmseg('RandomCrop', **CROP, cat_max_ratio=.75),
        mmseg('RandomRotate', prob=1., degree=30.),
        mmseg('PhotoMetricDistortion'),
    ],
    mmseg_padded=[mmseg('Resize', scale=(180, 200), keep_ratio=False), PAD],
    mmdet=[
        mmdet('RandomResize', resize_type='mmdet.Resize', **RESIZE),
        mmdet('RandomFlip', prob=.5, direction=['horizontal', 'vertical']),
        mmdet('RandomCrop', **CROP, allow_negative_crop=True),
        mmdet('Rotate', prob=1., img_border_value=0),
        mmdet('Pad', size=(70, 80)),
    ])


@pytest.mark.parametrize('name', PIPELINES)
@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 1000))
def test_regions_move_with_the_image(name, seed):
    steps = [dict(type='LoadRegions'), *PIPELINES[name]]
    if name == 'mmdet':
        steps = PartialVOCDataset.build_pipeline(
            SimpleNamespace(annotation_kinds=('saliency', )), steps, False)
    with seeded_draw(SeededIndex(0, seed)):
        moved = Compose(steps)(loaded())
    numbers = load_regions.superpixels_of(moved)
    assert numbers.shape == moved['img'].shape[:2]
    # what is seen has its number, and nothing else has any
    mask = moved['gt_seg_map']
    seen = (mask != 255) & (numbers >= 0)
    right = mask[seen] == numbers[seen] % 200
    if name == 'mmdet':  # whose maps are off by up to a pixel
        assert right.mean() > .5
        assert abs(seen.mean() - (mask != 255).mean()) < .05
    else:
        assert right.all()
        np.testing.assert_array_equal(mask != 255, numbers >= 0)
    packed = TRANSFORMS.build(dict(type='PackRegions'))(moved)
    regions = packed['data_samples'].regions
    check(regions)
    assert packed['data_samples'].gt_sem_seg.shape == regions.superpixels.shape


@pytest.mark.parametrize('name, axes', [('horizontal', 1), ('vertical', 0)])
@pytest.mark.parametrize('flip', [mmdet, mmseg])
def test_flips_are_exact(flip, name, axes):
    steps = [
        dict(type='LoadRegions'),
        flip('RandomFlip', prob=1., direction=name)
    ]
    moved = Compose([TRANSFORMS.build(x) for x in steps])(loaded())
    np.testing.assert_array_equal(
        load_regions.superpixels_of(moved), np.flip(NUMBERS, axes))


@pytest.mark.parametrize('scale', [(160, 112), (64, 48), (96, 80)])
def test_superpixels_are_resized_about_centers(scale):
    """Not towards a corner: what is flipped before is as if after. (No center
    is on an edge at these sizes.)"""
    resize = dict(type='RegionResize', scale=scale, keep_ratio=False)
    flip = mmseg('RandomFlip', prob=1., direction='diagonal')
    found = [
        load_regions.superpixels_of(
            Compose([dict(type='LoadRegions'), *steps])(loaded()))
        for steps in ([resize, flip], [flip, resize])
    ]
    assert found[0].shape == scale[::-1]
    np.testing.assert_array_equal(*found)
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new)
                     for old, new in zip(SHAPE, scale[::-1]))
    np.testing.assert_array_equal(
        np.flip(found[0]), NUMBERS[rows[:, None], columns])


def test_no_code_is_what_transforms_fill_with():
    loader = TRANSFORMS.build(dict(type='LoadRegions'))
    sample = loader(loaded())
    codes = sample['gt_superpixels']
    assert codes.dtype == np.uint16 and not np.isin(codes, [0, 255]).any()
    np.testing.assert_array_equal(load_regions.superpixels_of(sample), NUMBERS)
    codes[:8], codes[8:12] = 0, 255
    numbers = load_regions.superpixels_of(sample)
    assert (numbers[:12] == -1).all() and (numbers[12:] == NUMBERS[12:]).all()


def test_what_a_crop_leaves():
    results = TRANSFORMS.build(dict(type='LoadRegions', min_area=40))(loaded())
    results['img'] = results['img'][20:50, 30:60]
    results['gt_superpixels'] = results['gt_superpixels'][20:50, 30:60]
    sample = SimpleNamespace()
    load_regions.pack_regions(results, sample)
    area = (HELD[:, NUMBERS[20:50, 30:60]]).sum((1, 2))
    assert 1 < len(sample.regions) <= (area >= 40).sum()
    sizes = sample.regions.superpixels.ravel().bincount()
    region, member = sample.regions.pairs
    assert region.bincount(sizes[member]).min() >= 40
    assert sample.regions.bboxes[0].tolist() == [0, 0, 30, 30]
    # nothing is left: nothing is packed, and nothing fails
    results['gt_superpixels'][:] = 255
    load_regions.pack_regions(results, sample)
    assert len(sample.regions) == 0 == sample.regions.num_superpixels
    assert sample.regions.pairs.shape == (2, 0)


def test_regions_are_made_once(tmp_path, monkeypatch):
    made = []
    real = load_regions.propose_regions
    monkeypatch.setattr(
        load_regions,
        'propose_regions',
        lambda image, k=100: made.append(k) or real(image))
    load = [
        TRANSFORMS.build(
            dict(type='LoadRegions', cache_dir=str(tmp_path), **options))
        for options in (dict(), dict(k=100), dict(k=50), dict(min_area=1))
    ]
    for step in load:
        sample = step(loaded())
        np.testing.assert_array_equal(
            load_regions.superpixels_of(sample), NUMBERS)
    assert made == [100, 50]
    other = loaded()
    other['img'] = other['img'] + np.float32(1)  # as to_float32=True gives
    load[0](other)
    files = sorted(tmp_path.rglob('*.npz'))
    assert made == [100, 50, 100] and len(files) == 3
    for file in files:  # damaged ones are replaced
        file.write_bytes(file.read_bytes()[:-200])
    load[2](loaded())
    assert made == [100, 50, 100, 50]
    for file in files:
        np.savez(file, superpixels=NUMBERS[:5], pairs=np.zeros((2, 0)))
    with pytest.raises(DatasetError, match='x.png: .* another size; remove'):
        load[0](loaded())


def test_mistakes_are_one_line():
    load = TRANSFORMS.build(dict(type='LoadRegions'))
    with pytest.raises(DatasetError, match='LoadRegions must come before'):
        load(dict(loaded(), ori_shape=(40, 48)))
    pack = TRANSFORMS.build(dict(type='PackRegions'))
    with pytest.raises(DatasetError, match='x.png has no regions: put Load'):
        pack(loaded())
    cropped = load(loaded())
    cropped['img'] = cropped['img'][:50]
    with pytest.raises(DatasetError, match='a transform moves only one of'):
        pack(cropped)
    resize = dict(type='RegionResize', scale=(160, 112))
    crop = mmseg('RandomCrop', crop_size=(40, 50))
    flip = dict(type='RandomFlip', prob=1.)  # MMCV's, as is what follows
    for steps in ([flip], [crop, flip], [resize, flip], [resize, crop, flip],
                  [dict(type='Resize', scale=(192, 160))
                   ], [dict(type='Resize', scale=(48, 40))]):
        with pytest.raises(DatasetError, match="x.png: .* use mmseg's"):
            pack(Compose(steps)(load(loaded())))
    flip = mmseg('RandomFlip', prob=1.)
    pack(Compose([flip, resize, crop])(load(loaded())))
    with pytest.raises(TypeError, match='typo'):
        TRANSFORMS.build(dict(type='LoadRegions', typo=1))


def test_a_pipeline_of_a_source_is_checked():
    steps = [TRANSFORMS.build(x) for x in (PIPELINES['mmdet'])]
    check_training_pipeline(steps, ('regions', ))
    with pytest.raises(PipelineError, match='Expand .* RandomZoomCrop'):
        check_training_pipeline([TRANSFORMS.build(mmdet('Expand'))],
                                ('regions', ))

    class Moves:

        def __call__(self, results):
            results['img'] = np.roll(results['img'], 50, 1)
            return results

    with pytest.raises(PipelineError, match='saliency maps or regions'):
        check_training_pipeline([Moves()], ('regions', ))


@pytest.fixture
def make_source(voc):
    """Of real files, whose regions are what the tests' picture has."""
    for path in (voc / 'JPEGImages').iterdir():
        cv2.imwrite(str(path), loaded()['img'])

    def make(steps, test_mode=False):
        return PartialVOCDataset(
            data_root=str(voc),
            ann_file='ImageSets/Main/all.txt',
            annotation_kinds=('image_label', ),
            source='mine',
            metainfo=dict(classes=('cat', 'dog')),
            test_mode=test_mode,
            pipeline=[
                dict(type='LoadImageFromFile'), *steps,
                dict(type='PackMultiTaskInputs')
            ])

    return make


@pytest.fixture
def source(make_source):
    return make_source([
        dict(type='LoadPartialAnnotations'),
        dict(type='LoadRegions'),
        mmdet('Resize', scale=(192, 160)),
        mmdet('RandomFlip', prob=1.)
    ])


def test_regions_in_a_source(source):
    assert source.sample_kinds == ('image_label', 'regions')
    packed = source[0]
    sample = packed['data_samples']
    assert sample.annotation_kinds == ('image_label', 'regions')
    check(sample.regions)
    np.testing.assert_array_equal(
        sample.regions.superpixels,
        np.flip(NUMBERS.repeat(2, 0).repeat(2, 1), 1))
    batch = MultiTaskDataPreprocessor(pad_size_divisor=64)(
        pseudo_collate([packed, source[1]]), training=True)
    assert batch['inputs'].shape == (2, 3, 192, 192)
    regions = batch['data_samples'][0].regions
    assert regions.superpixels.shape == (160, 192)
    assert regions.num_superpixels == 480


def test_regions_in_evaluation_and_inference(make_source):
    steps = [
        dict(type='LoadRegions'),
        mmdet('Resize', scale=(192, 160)),
        dict(type='LoadPartialAnnotations')
    ]
    regions = make_source(steps, test_mode=True)[0]['data_samples'].regions
    np.testing.assert_array_equal(regions.superpixels,
                                  NUMBERS.repeat(2, 0).repeat(2, 1))
    check(regions)
    pipeline = [dict(type='LoadImageFromFile'), *steps]
    cfg = Config(dict(test_dataloader=dict(dataset=dict(pipeline=pipeline))))
    assert inference_steps(cfg) == pipeline[:3]


def test_regions_of_a_stock_set(tmp_path):
    """Of MMSegmentation, through its preprocessor."""
    path = str(tmp_path / 'x.png')
    cv2.imwrite(path, loaded()['img'])
    packed = Compose([
        dict(type='LoadImageFromFile'),
        dict(type='LoadRegions'),
        mmseg('Resize', scale=(192, 160)),
        dict(type='PackRegions')
    ])(
        dict(img_path=path))
    preprocessor = MODELS.build(mmseg('SegDataPreProcessor', size=(200, 200)))
    batch = preprocessor(pseudo_collate([packed]), training=True)
    assert batch['inputs'].shape == (1, 3, 200, 200)
    check(batch['data_samples'][0].regions)
    assert batch['data_samples'][0].regions.superpixels.shape == (160, 192)


@pytest.mark.parametrize('size', [8, 11, 16, 24, 40])
def test_a_batch_is_resized(size):
    sample = make_sample(('regions', ), size=16)
    rows, columns = np.indices((16, 16)) // 8
    numbers = torch.from_numpy(2 * rows + columns)
    sample.regions = Regions(
        bboxes=torch.tensor([[0., 0., 16., 8.], [8., 0., 16., 16.]]),
        pairs=torch.tensor([[0, 0, 1, 1], [0, 1, 1, 3]]),
        superpixels=numbers)
    found = resize_sample(sample, 16, size).regions
    torch.testing.assert_close(found.bboxes, sample.regions.bboxes * size / 16)
    half = (torch.arange(size) + .5) * 16 / size >= 8
    torch.testing.assert_close(found.superpixels,
                               2 * half[:, None].long() + half.long())
    assert len(found) == 2 and found.num_superpixels == 4
    torch.testing.assert_close(sample.regions.superpixels, numbers)


def test_pictures_outline_superpixels_and_show_some_regions(source):
    packed = source[0]
    image = packed['inputs'].permute(1, 2, 0).numpy()
    layer = gt_layer(packed['data_samples'])
    assert 'regions' in layer.caption and 'of 480 superpix' in layer.caption
    drawn = MultiTaskLocalVisualizer(min_size=8).layer_panel(image, layer)
    rims = (drawn.image[7::8, 7::8] == 255).all(-1)
    assert rims.mean() > .2  # boxes and their tags hide some
    assert (drawn.image[4::8, 4::8] != image[4::8, 4::8]).any()
    none = make_sample(('regions', ), size=16)
    none.regions = Regions(
        bboxes=torch.zeros(0, 4),
        pairs=torch.zeros(2, 0).long(),
        superpixels=torch.full((16, 16), -1))
    MultiTaskLocalVisualizer(min_size=8).layer_panel(image, gt_layer(none))


def test_regions_to_train_on():
    """Against masks, pixel by pixel."""
    rng = np.random.RandomState(0)
    seg_map = cv2.resize(
        rng.choice([0, 1, 2, 255], (10, 12)).astype(np.uint8),
        SHAPE[::-1],
        interpolation=cv2.INTER_NEAREST)
    seg_map[3:9, 5:11] = 7
    sample = TRANSFORMS.build(dict(type='LoadRegions'))(loaded())
    sample['gt_seg_map'] = seg_map
    sample['gt_superpixels'][:8] = 0
    numbers = load_regions.superpixels_of(sample)
    found = TRANSFORMS.build(dict(type='AddGTRegions'))(sample)['region_pairs']

    true = []
    for label in (0, 1, 2, 7):
        count, parts = cv2.connectedComponents(
            (seg_map == label).astype(np.uint8), connectivity=8)
        true += [parts == i for i in range(1, count)]
    expected = []
    for row in HELD:
        mask = (numbers >= 0) & row[numbers]
        if max((mask & x).sum() / (mask | x).sum() for x in true) >= .1:
            expected.append(np.flatnonzero(row).tolist())
    assert 0 < len(expected) < len(HELD)
    for mask in true:
        covered = [
            i for i in range(480)
            if (numbers == i).any() and mask[numbers == i].mean() >= .5
        ]
        expected += [covered] if covered else []
    held = np.zeros((found[0].max() + 1, 480), bool)
    held[tuple(found)] = True
    assert [np.flatnonzero(x).tolist() for x in held if x.any()] == expected
    assert (np.diff(found[0] * 480 + found[1]) > 0).all()
    sample['gt_seg_map'] = np.full(SHAPE, 255, np.uint8)
    before = sample['region_pairs']
    step = TRANSFORMS.build(dict(type='AddGTRegions'))
    assert step(sample)['region_pairs'] is before
