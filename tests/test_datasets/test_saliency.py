# Copyright (c) mmbombo contributors.
"""Saliency maps: read, moved with the image, packed, padded and drawn."""
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.dataset import Compose
from mmengine.structures import PixelData
from PIL import Image
from toolbox import make_sample, write_coco

from mmbombo.datasets import (DatasetError, ImageLabelDataset,
                              PartialAnnotationDataset, PartialVOCDataset,
                              PipelineError, SeededIndex, seeded_draw)
from mmbombo.datasets.checks.every_file import check_sample
from mmbombo.datasets.checks.training_pipeline import check_training_pipeline
from mmbombo.datasets.transforms import move_saliency, random_zoom_crop
from mmbombo.models.data_preprocessors import MultiTaskDataPreprocessor
from mmbombo.models.data_preprocessors.det_batch_resize import resize_sample
from mmbombo.registry import TRANSFORMS
from mmbombo.visualization import MultiTaskLocalVisualizer
from mmbombo.visualization.layers import gt_layer

KINDS = ('image_label', 'saliency')
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations')]
PACK = dict(type='PackMultiTaskInputs')


def mmdet(name, **kwargs):
    return dict(type=f'mmdet.{name}', **kwargs)


FLIP = mmdet('RandomFlip', prob=1.)


def write_saliency(voc):
    """Of image k a map of 10 k, and of 255 in columns 10..29."""
    (voc / 'saliency').mkdir()
    for image in (voc / 'JPEGImages').iterdir():
        width, height = Image.open(image).size
        values = np.full((height, width), 10 * int(image.stem[2:]), np.uint8)
        values[:, 10:30] = 255
        Image.fromarray(values).save(voc / f'saliency/{image.stem}.png')
    return voc


@pytest.fixture
def salient(voc):
    return write_saliency(voc)


def make(root, kinds=KINDS, steps=(), **kwargs):
    return PartialVOCDataset(
        data_root=str(root),
        ann_file='ImageSets/Main/all.txt',
        annotation_kinds=kinds,
        source='mine',
        metainfo=dict(classes=('cat', 'dog')),
        **dict(
            dict(
                data_prefix=dict(saliency_path='saliency'),
                pipeline=[*LOAD, *steps, PACK]), **kwargs))


def test_values_of_a_file(salient):
    data = make(salient, steps=[FLIP])
    saliency = data[2]['data_samples'].gt_saliency.data
    assert saliency.shape == (1, 42, 64) and saliency.dtype == torch.float32
    expected = torch.full((42, 64), 20 / 255)
    expected[:, 34:54] = 1
    torch.testing.assert_close(saliency[0], expected)
    # what is not declared is not opened
    (salient / 'saliency/im2.png').unlink()
    assert 'gt_saliency' not in make(salient, ('sem_seg', ))[2]['data_samples']


def test_maps_lie_as_deep_as_images(tmp_path):
    for name in ('a/x', 'b/x'):
        for folder, mode in (('images', 'RGB'), ('maps', 'L')):
            path = tmp_path / folder / f'{name}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (9, 8), 100 + ord(name[0])).save(path)
    data = ImageLabelDataset(
        data_prefix=dict(img_path='images', saliency_path='maps'),
        data_root=str(tmp_path),
        annotation_kinds=KINDS,
        pipeline=[*LOAD, PACK])
    for i, folder in enumerate('ab'):
        saliency = data[i]['data_samples'].gt_saliency.data
        assert (255 *
                saliency).round().unique().tolist() == [100 + ord(folder)]


def test_maps_of_a_wrapped_set(tmp_path):
    write_coco(tmp_path, 3)
    ann_file = 'annotations/instances_train2017.json'
    content = json.loads((tmp_path / ann_file).read_text())
    dataset = dict(
        type='mmdet.CocoDataset',
        data_root=str(tmp_path),
        ann_file=ann_file,
        data_prefix=dict(img='train2017/', saliency_path='maps/'),
        metainfo=dict(classes=('cat', 'dog')))
    for image in content['images']:
        path = (tmp_path / 'maps' / image['file_name']).with_suffix('.png')
        path.parent.mkdir(exist_ok=True)
        Image.new('L', (image['width'], image['height']), 51).save(path)
    data = PartialAnnotationDataset(
        dataset, ('saliency', ), pipeline=[*LOAD, PACK])
    saliency = data[0]['data_samples'].gt_saliency.data
    torch.testing.assert_close(saliency, torch.full_like(saliency, .2))
    del dataset['data_prefix']['saliency_path']
    with pytest.raises(DatasetError, match=r'dict\(saliency_path='):
        PartialAnnotationDataset(dataset, ('saliency', ))


@pytest.mark.parametrize('content, complaint', [
    (None, 'missing, truncated or not an image .*; write .*saliency_maps.py'),
    (b'<html>404</html>', 'missing, truncated or not an image'),
    (('RGB', (64, 42)), 'stored as RGB pixels.*8-bit gray.*convert'),
    (('I;16', (64, 42)), 'stored as I;16 pixels'),
    (('L', (42, 64)), 'is 42x64 but its image is 64x42; write it anew'),
])
def test_files_that_are_no_map(salient, content, complaint):
    path = salient / 'saliency/im2.png'
    path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        Image.new(*content).save(path)
    data = make(salient)
    with pytest.raises(DatasetError, match=complaint) as error:
        data[2]
    assert f"source 'mine': {path}" in str(error.value)
    assert '\n' not in str(error.value)
    problem, = check_sample(data, 2)  # as check_data.py says
    assert problem in str(error.value)


def test_a_source_without_a_folder_of_maps(voc):
    with pytest.raises(DatasetError, match="'mine'.*saliency_path=") as error:
        make(voc, data_prefix=None)
    assert '\n' not in str(error.value)


def coordinates(shape=(48, 64), axis=1):
    """A sample whose blue and saliency say where a pixel is from."""
    height, width = shape
    ramp = np.mgrid[:height, :width][axis].astype(np.uint8)
    return dict(
        img=np.stack([ramp + 100, *[np.full_like(ramp, 250)] * 2], -1),
        img_shape=shape,
        ori_shape=shape,
        annotation_kinds=('saliency', ),
        gt_saliency=ramp / np.float32(255),
        saliency_frame=(None, shape, (1., 1.)))


GEOMETRY = dict(
    shrink=[mmdet('Resize', scale=(37, 41), keep_ratio=False)],
    enlarge=[mmdet('Resize', scale=(150, 150), keep_ratio=True)],
    flip=[FLIP],
    both=[mmdet('RandomFlip', prob=1., direction='diagonal')],
    crop=[mmdet('RandomCrop', crop_size=(30, 20), allow_negative_crop=True)],
    zoom=[dict(type='RandomZoomCrop', prob=1.)],
    pad=[mmdet('Pad', size=(100, 90), pad_val=dict(img=0, seg=255))],
    rotate=[mmdet('Rotate', prob=1., img_border_value=0)],
    all=[
        mmdet(
            'RandomResize',
            resize_type='mmdet.Resize',
            scale=(90, 90),
            ratio_range=(.5, 2.),
            keep_ratio=True),
        mmdet('RandomCrop', crop_size=(60, 50), allow_negative_crop=True),
        FLIP,
        dict(type='RandomZoomCrop', prob=1.),
        mmdet('Pad', size=(70, 70), pad_val=dict(img=0, seg=255)),
    ])


@pytest.mark.parametrize('name', GEOMETRY)
def test_maps_move_with_the_image(name):
    steps = PartialVOCDataset.build_pipeline(
        SimpleNamespace(annotation_kinds=KINDS), GEOMETRY[name], False)
    for seed in range(6):
        for axis in (0, 1):
            with seeded_draw(SeededIndex(0, seed)):
                moved = Compose(steps)(coordinates(axis=axis))
            saliency, image = moved['gt_saliency'], moved['img'][..., 0]
            assert saliency.shape == image.shape == moved['img_shape']
            known = saliency >= 0
            # a pixel is known if more of it is of the image than of its fill
            fill = 114 if name in ('zoom', 'all') else 0
            seen = moved['img'][..., 1] > (250 + fill) / 2
            assert known.any() and (known != seen).mean() < .02
            off = np.abs(255 * saliency - image.astype(float) + 100)[known]
            # rounded in the image at each step; mixed with its fill at a rim
            assert np.quantile(off, .9) <= (1.5 if name != 'rotate' else 2.2)
            assert saliency[known].max() <= 63.01 / 255


def test_what_pads_a_window_is_mixed_into_no_value(monkeypatch):
    monkeypatch.setattr(random_zoom_crop, '_draw_window', lambda size, shape:
                        (-32, -24, 96, 72))
    sample = coordinates()
    sample['gt_saliency'] = np.ones((48, 64), np.float32)
    saliency = move_saliency(random_zoom_crop.RandomZoomCrop(1.)(sample))
    expected = np.full((48, 64), -1.)
    expected[12:36, 16:48] = 1
    np.testing.assert_array_equal(saliency['gt_saliency'], expected)


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(0, 99),
    st.sampled_from(['horizontal', 'vertical', 'diagonal']))
def test_flips_are_exact(height, width, seed, direction):
    values = np.random.RandomState(seed).rand(height, width)
    values = values.astype(np.float32)
    values[values < .1] = -1
    sample = dict(coordinates((height, width)), gt_saliency=values)
    flip = TRANSFORMS.build(mmdet('RandomFlip', prob=1., direction=direction))
    axes = dict(horizontal=[1], vertical=[0], diagonal=[0, 1])[direction]
    np.testing.assert_array_equal(
        move_saliency(flip(sample))['gt_saliency'], np.flip(values, axes))


def test_in_evaluation_maps_keep_their_size(salient):
    resize = mmdet('Resize', scale=(128, 128), keep_ratio=True)
    data = make(
        salient, pipeline=[LOAD[0], resize, LOAD[1], PACK], test_mode=True)
    packed = data[0]
    assert packed['inputs'].shape[1:] == (85, 128)
    sample = packed['data_samples']
    assert sample.gt_saliency.data.shape == (1, 40, 60)
    batch = dict(inputs=[packed['inputs']], data_samples=[sample])
    MultiTaskDataPreprocessor(pad_size_divisor=32)(batch)
    assert sample.gt_saliency.data.shape == (1, 40, 60)


def test_in_a_batch_the_padding_is_unknown(salient):
    packed = make(salient)[3]
    batch = MultiTaskDataPreprocessor(pad_size_divisor=64)(
        dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']]),
        training=True)
    saliency = batch['data_samples'][0].gt_saliency.data
    assert saliency.shape == (1, 64, 128)
    assert (saliency[:, 43:] == -1).all() and (saliency[..., 66:] == -1).all()
    assert saliency[:, :43, :66].min() == 30 / np.float32(255)


@pytest.mark.parametrize('size', [8, 11, 16, 24, 40])
def test_a_resized_batch_keeps_known_and_unknown_apart(size):
    sample = make_sample(('saliency', ), size=16)
    saliency = torch.full((1, 16, 16), .75)
    saliency[..., 10:] = -1
    sample.gt_saliency = PixelData(data=saliency)
    found = resize_sample(sample, 16, size).gt_saliency.data
    unknown = (torch.arange(size) + .5) * 16 / size >= 10
    expected = torch.full((1, size, size), .75)
    expected[..., unknown] = -1
    torch.testing.assert_close(found, expected)


class Expands:
    """As MMDetection's, says to nobody where it puts the image."""

    def __call__(self, results):
        results['img'] = np.pad(results['img'], ((30, 0), (40, 0), (0, 0)))
        results['img_shape'] = results['img'].shape[:2]
        return results


@pytest.mark.parametrize('step, message', [
    (Expands(), 'homography_matrix'),
    (TRANSFORMS.build(mmdet('Expand')), 'mmdet.Expand .* RandomZoomCrop'),
])
def test_moves_that_are_not_recorded_are_found_at_start(step, message):
    with pytest.raises(PipelineError, match=message):
        check_training_pipeline([step], KINDS)


def test_pictures_are_dark_where_nothing_is_salient():
    sample = make_sample(('saliency', ), size=32)
    values = torch.zeros(1, 32, 32)
    values[..., 8:16] = 1
    values[..., 24:] = -1
    sample.gt_saliency = PixelData(data=values)
    layer = gt_layer(sample)
    assert layer.caption == 'ground truth: saliency only'
    visualizer = MultiTaskLocalVisualizer(min_size=8)
    image = np.full((32, 32, 3), 100, np.uint8)
    drawn = visualizer.layer_panel(image, layer).image
    assert (drawn[:, :8] == 20).all() and (drawn[:, 8:16] == 100).all()
    assert {*drawn[:, 24:].ravel().tolist()} == {96, 190}
    assert len(visualizer.legend([layer], 64, 12)) == 1
