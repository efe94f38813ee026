# Copyright (c) mmbombo contributors.
import copy

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData

from mmbombo.models.data_preprocessors import MultiTaskDataPreprocessor
from mmbombo.registry import MODELS
from mmbombo.utils import UserError


def build(**kwargs):
    return MODELS.build(
        dict(
            type='MultiTaskDataPreprocessor',
            mean=[1., 2., 3.],
            std=[2., 4., 8.],
            bgr_to_rgb=True,
            pad_size_divisor=32,
            **kwargs))


def sample(height, width, **fields):
    sample = DetDataSample(metainfo=dict(img_shape=(height, width)))
    for key, value in fields.items():
        sample.set_field(value, key)
    return sample


def batch():
    """The first sample has no map: MMDetection would pad none."""
    ids = torch.ones(1, 40, 50, dtype=torch.uint8)
    components = torch.ones(1, 20, 30, dtype=torch.int16)
    return dict(
        inputs=[
            torch.full((3, 30, 60), 9, dtype=torch.uint8),
            torch.full((3, 40, 50), 9, dtype=torch.uint8),
            torch.full((3, 20, 30), 9, dtype=torch.uint8)
        ],
        data_samples=[
            sample(30, 60, gt_instances=InstanceData(
                bboxes=torch.zeros(0, 4))),
            sample(40, 50, pseudo_sem_seg=PixelData(sem_seg=ids)),
            sample(20, 30, gt_sem_seg=PixelData(sem_seg=ids[:, :20, :30]),
                   component_map=PixelData(data=components))
        ])


def test_every_sample_is_padded_by_its_own_fields():
    samples = build()(batch(), training=True)['data_samples']
    pseudo = samples[1].pseudo_sem_seg
    assert pseudo.sem_seg.shape == (1, 64, 64)
    assert pseudo.sem_seg.dtype == torch.int64
    assert pseudo.data is pseudo.sem_seg
    assert (pseudo.sem_seg[:, :40, :50] == 1).all()
    assert (pseudo.sem_seg == 255).sum() == 64 * 64 - 40 * 50
    assert (samples[2].gt_sem_seg.data == 255).sum() == 64 * 64 - 20 * 30
    components = samples[2].component_map.data
    assert components.sum() == 20 * 30 and components.shape == (1, 64, 64)
    assert 'gt_sem_seg' not in samples[0]


def test_images_are_normalized_once():
    inputs = build()(batch(), training=True)['inputs']
    assert inputs.shape == (3, 3, 64, 64)
    assert inputs[0, :, 0, 0].tolist() == [4., 1.75, .75]
    assert inputs[0, :, 40, 0].tolist() == [0., 0., 0.]


def test_ground_truth_keeps_its_shape_in_validation():
    samples = build()(batch(), training=False)['data_samples']
    assert samples[2].gt_sem_seg.sem_seg.shape == (1, 20, 30)
    assert samples[2].gt_sem_seg.data.dtype == torch.int64


@pytest.mark.parametrize('option', [
    dict(pad_seg=False), dict(seg_pad_value=0)])
def test_padding_is_always_ignored(option):
    with pytest.raises(UserError, match=next(iter(option))):
        build(**option)


def test_options_have_names():
    """By position, the refused ones would pass unseen."""
    with pytest.raises(TypeError, match='positional'):
        MultiTaskDataPreprocessor([0.] * 3, [1.] * 3)


@pytest.mark.parametrize('shape', [(40, 48), (20, 25), (80, 100)])
@pytest.mark.parametrize('field, key', [
    ('gt_sem_seg', 'sem_seg'), ('pseudo_sem_seg', 'sem_seg'),
    ('component_map', 'data')])
def test_map_of_another_shape_than_its_image(shape, field, key):
    """A larger one would be cut, a smaller one ignored beyond its end."""
    one = sample(40, 50)
    one.set_metainfo(dict(img_path='/data/7.jpg'))
    pixels = torch.ones(1, *shape, dtype=torch.uint8)
    one.set_field(PixelData(**{key: pixels}), field)
    data = dict(
        inputs=[torch.zeros(3, 40, 50, dtype=torch.uint8)],
        data_samples=[one])
    with pytest.raises(
            ValueError,
            match=f'/data/7.jpg: {field} is {shape[1]}x{shape[0]}, but .* '
            'is 50x40'):
        build()(copy.deepcopy(data), training=True)
    # In validation, maps have the original shape.
    build()(data, training=False)


def test_augmentation_that_would_leave_the_maps_behind_is_refused():
    resize = dict(
        type='mmdet.BatchSyncRandomResize', random_size_range=(64, 96))
    with pytest.raises(UserError, match='batch_augments'):
        build(batch_augments=[resize])
