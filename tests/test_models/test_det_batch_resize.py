# Copyright (c) mmbombo contributors.
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import InstanceData, PixelData
from toolbox import make_sample

from mmbombo.models.data_preprocessors.det_batch_resize import (bilinear,
                                                                nearest,
                                                                resize_batch)
from mmbombo.registry import MODELS

SIZES = [48, 64, 80]


def resize(**kwargs):
    return MODELS.build(dict(type='DetBatchResize', sizes=SIZES, **kwargs))


@settings(deadline=None, max_examples=15)
@given(st.integers(4, 40), st.integers(2, 60), st.integers(0, 99))
def test_nearest_is_the_value_at_the_center(old, new, seed):
    pixels = torch.randint(
        0, 256, (1, old, old), generator=torch.Generator().manual_seed(seed))
    got = nearest(pixels, new)
    assert got.dtype == pixels.dtype
    for row in range(new):
        for column in range(new):
            # exact integers: floor((i + 1/2) * old / new)
            y, x = ((2 * i + 1) * old // (2 * new) for i in (row, column))
            assert got[0, row, column] == pixels[0, y, x]


def test_image_boxes_and_maps_stay_together():
    """A rectangle is found at the same place in all three."""
    size = 64
    image = torch.zeros(1, 3, size, size)
    image[..., 16:40, 8:56] = 100.
    ids = (image[0, :1] > 0).long() * 3
    box = torch.tensor([[8., 16., 56., 40.]])
    sample = make_sample(('bbox', ), size=size)
    sample.gt_instances = InstanceData(bboxes=box, labels=torch.tensor([2]))
    sample.ignored_instances = InstanceData(
        bboxes=box + 1, labels=torch.tensor([1]))
    sample.unlisted_instances = InstanceData(
        bboxes=box + 2, labels=torch.tensor([-1]))
    sample.pseudo_sem_seg = PixelData(sem_seg=ids, data=ids)
    sample.set_metainfo(dict(img_shape=(60, 64), scale_factor=(2., .5)))

    for new in (48, 96, 80):
        inputs, (resized, ) = resize_batch(image, [sample], new)
        scale = new / size
        wanted = cv2.resize(
            image[0, 0].numpy(), (new, new), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(inputs[0, 0], wanted, atol=1e-2)
        torch.testing.assert_close(resized.gt_instances.bboxes, box * scale)
        torch.testing.assert_close(resized.ignored_instances.bboxes,
                                   (box + 1) * scale)
        torch.testing.assert_close(resized.unlisted_instances.bboxes,
                                   (box + 2) * scale)
        assert resized.gt_instances.labels.tolist() == [2]
        mask = resized.pseudo_sem_seg.sem_seg
        assert torch.equal(mask[0] == 3, inputs[0, 0] > 50)
        assert mask is resized.pseudo_sem_seg.data
        rows, columns = torch.where(mask[0] == 3)
        extent = torch.stack(
            [columns.min(),
             rows.min(),
             columns.max() + 1,
             rows.max() + 1])
        assert (extent - box[0] * scale).abs().max() <= .5
        assert resized.batch_input_shape == (new, new)
        assert resized.pad_shape == (new, new)
        assert resized.img_shape == (round(60 * scale), new)
        assert resized.scale_factor == (2 * scale, .5 * scale)
        assert resized.ori_shape == (size, size)
        # the visualization hook still reads the sample as it was
        assert torch.equal(sample.gt_instances.bboxes, box)
        assert sample.batch_input_shape == (size, size)
        assert sample.pseudo_sem_seg.sem_seg.shape == (1, size, size)


def test_components_stay_where_their_map_is(progress):
    """A mask of a group that also has boxes is resized with them."""
    progress(0)
    pixels = torch.zeros(1, 64, 64, dtype=torch.long)
    pixels[:, 16:48, 8:56] = 1
    sample = make_sample(('sem_seg', ), size=64)
    sample.component_map = PixelData(data=pixels)
    sample.components = InstanceData(
        bboxes=torch.tensor([[8., 16., 56., 48.]]), labels=torch.tensor([2]),
        areas=torch.tensor([1536.]), ignored=torch.tensor([False]))
    boxed = make_sample(('bbox', ), size=64)
    inputs = torch.zeros(2, 3, 64, 64)
    resize_to_128 = MODELS.build(dict(type='DetBatchResize', sizes=[128]))
    for samples in ([sample, boxed], [boxed, sample]):
        resized, both = resize_to_128(inputs, samples, 'det')
        assert resized.shape[-1] == 128
        found = both[samples.index(sample)]
        rows, columns = torch.where(found.component_map.data[0] == 1)
        assert (columns.min(), rows.min()) == (16, 32)
        assert (columns.max() + 1, rows.max() + 1) == (112, 96)
        assert found.components.bboxes.tolist() == [[16., 32., 112., 96.]]
        assert found.components.areas.tolist() == [4 * 1536.] == [len(rows)]
        assert found.components.labels.tolist() == [2]
        assert not found.components.ignored.any()
    assert sample.components.areas.tolist() == [1536.]


def test_only_batches_with_boxes_change(progress):
    progress(0)
    inputs = torch.zeros(1, 3, 64, 64)
    module = resize()
    for kinds in [(), ('sem_seg', )]:
        sample = make_sample(kinds, size=64)
        for _ in range(10):
            same, (untouched, ) = module(inputs, [sample])
            assert same is inputs and untouched is sample
    sample = make_sample(('bbox', 'sem_seg'), size=64)
    found = set()
    for _ in range(30):
        resized, (other, ) = module(inputs, [sample])
        found.add(resized.shape[-1])
        assert other.gt_sem_seg.sem_seg.shape[1:] == resized.shape[2:]
    assert found == set(SIZES)


def test_sizes_are_equally_likely_and_end_at_80_percent(progress):
    module = resize()
    inputs, samples = torch.zeros(1, 3, 64, 64), [make_sample(('bbox', ))]

    def sizes(count):
        return Counter(
            module(inputs, samples)[0].shape[-1] for _ in range(count))

    progress(79)
    torch.manual_seed(0)
    counts = sizes(600)
    assert set(counts) == set(SIZES)
    assert all(abs(count - 200) < 50 for count in counts.values())
    progress(80)
    assert sizes(20) == {64: 20}


def test_no_resizing_outside_a_runner():
    inputs, samples = torch.zeros(1, 3, 64, 64), [make_sample(('bbox', ))]
    assert all(resize()(inputs, samples)[0] is inputs for _ in range(10))


def test_a_batch_that_is_not_square_is_an_error():
    with pytest.raises(ValueError, match='64 x 96'):
        resize_batch(torch.zeros(1, 3, 64, 96), [make_sample(('bbox', ))], 48)


def test_maps_of_values_are_resized_bilinearly():
    """A ramp stays a ramp, where ids take the nearest."""
    values = torch.arange(8.).expand(8, 8)[None]
    found = bilinear(values, 4, -1)
    assert found.shape == (1, 4, 4)
    torch.testing.assert_close(found[0, 0], torch.tensor([.5, 2.5, 4.5, 6.5]))
