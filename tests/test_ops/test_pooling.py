# Copyright (c) mmbombo contributors.
"""RoIAlign and RoIPool."""
import math

import numpy as np
import pytest
import torch
from mmcv.ops import roi_align, roi_pool
from torch.autograd import gradcheck

# Some reach beyond the borders, and some have no area.
ROIS = torch.tensor(
    [[0, 1, 2, 20, 13], [1, -9, -9, 70, 60], [0, 5, 5, 5, 5],
     [1, 60, 50, 90, 80], [1, 3.3, 7.9, 12.6, 9.1], [0, 40, 3, 41, 30]],
    dtype=torch.float32)
SCALE = 0.25


@pytest.fixture
def feats():
    return torch.randn(
        2, 3, 11, 13, generator=torch.Generator().manual_seed(0))


def read(plane, y, x):
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    rows = [(top, top + 1 - y), (bottom, y - top)]
    columns = [(left, left + 1 - x), (right, x - left)]
    return sum(plane[row, column] * a * b for row, a in rows
               for column, b in columns)


def align(feats, rois, size, sampling_ratio, mode, aligned):
    """RoIAlign sample by sample."""
    pooled = np.zeros((len(rois), feats.shape[1], *size))
    for k, (image, *corners) in enumerate(rois.double().numpy()):
        left, top, right, bottom = (
            corner * SCALE - 0.5 * aligned for corner in corners)
        extent = np.array((bottom - top, right - left))
        if not aligned:
            extent = extent.clip(1)
        steps = extent / size
        grid = [sampling_ratio or math.ceil(step) for step in steps]
        for c, i, j in np.ndindex(pooled.shape[1:]):
            samples = [
                read(feats[int(image), c].double().numpy(),
                     top + (i + (a + 0.5) / grid[0]) * steps[0],
                     left + (j + (b + 0.5) / grid[1]) * steps[1])
                for a, b in np.ndindex(*grid)
            ]
            if samples:
                pooled[k, c, i, j] = (
                    max(samples) if mode == 'max' else np.mean(samples))
    return pooled


def pool(feats, rois, size):
    """RoIPool pixel by pixel."""
    pooled = np.zeros((len(rois), feats.shape[1], *size))
    for k, (image, *corners) in enumerate(rois.double().numpy()):
        low = np.array((corners[1], corners[0])) * SCALE
        high = np.array((corners[3] + 1, corners[2] + 1)) * SCALE
        steps = (high - low) / size
        for i, j in np.ndindex(*size):
            first = np.floor(low + (i, j) * steps).astype(int)
            end = np.ceil(low + (i + 1, j + 1) * steps).astype(int)
            first = first.clip(0, feats.shape[2:])
            end = end.clip(0, feats.shape[2:])
            if (end > first).all():
                pooled[k, :, i, j] = feats[int(image), :, first[0]:end[0],
                                           first[1]:end[1]].amax((1, 2))
    return pooled


CASES = [(mode, ratio, aligned) for mode in ('avg', 'max') for ratio in (0, 2)
         for aligned in (True, False)]


@pytest.mark.parametrize('mode, ratio, aligned', CASES)
def test_roi_align_samples_between_pixels(ours, feats, mode, ratio, aligned):
    ours('roi_align')
    pooled = roi_align(feats, ROIS, (3, 2), SCALE, ratio, mode, aligned)
    expected = align(feats, ROIS, (3, 2), ratio, mode, aligned)
    np.testing.assert_allclose(pooled, expected, atol=1e-5)


@pytest.mark.parametrize('mode, ratio, aligned', CASES)
def test_derivative_of_roi_align(ours, feats, mode, ratio, aligned):
    ours('roi_align')
    rois = ROIS.double()
    feats = feats[:, :2].double().requires_grad_()
    assert gradcheck(
        lambda feats: roi_align(feats, rois,
                                (2, 2), SCALE, ratio, mode, aligned),
        feats,
        fast_mode=True)


def gradients(operator, feats, *args):
    feats = feats.clone().requires_grad_()
    pooled = operator(feats, *args)
    weights = torch.arange(pooled.numel()).view_as(pooled) % 7
    (pooled * weights).sum().backward()
    return pooled.detach(), feats.grad


@pytest.mark.parametrize('mode, ratio, aligned', CASES)
def test_roi_align_is_that_of_mmcv(compiled, ours, feats, mode, ratio,
                                   aligned):
    # MMCV gives -10000 as the maximum of no samples.
    rois = ROIS[[0, 1, 3, 4, 5]] if mode == 'max' else ROIS
    args = (feats, rois, (3, 2), SCALE, ratio, mode, aligned)
    expected = gradients(roi_align, *args)
    ours('roi_align')
    torch.testing.assert_close(
        gradients(roi_align, *args), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_of_nothing(ours, feats, mode):
    ours('roi_align')
    for rois in (ROIS[:0], ROIS[2:3]):
        pooled, grad = gradients(roi_align, feats, rois, 2, SCALE, 0, mode)
        assert pooled.shape == (len(rois), 3, 2, 2)
        assert not pooled.any() and not grad.any()


def test_roi_pool_takes_maxima_of_bins(ours, feats):
    ours('roi_pool')
    pooled = roi_pool(feats, ROIS, (3, 2), SCALE)
    np.testing.assert_allclose(pooled, pool(feats, ROIS, (3, 2)))
    assert roi_pool(feats, ROIS[:0], 2, SCALE).shape == (0, 3, 2, 2)


def test_derivative_of_roi_pool(ours, feats):
    ours('roi_pool')
    rois = ROIS.double()
    assert gradcheck(
        lambda feats: roi_pool(feats, rois, (2, 3), SCALE),
        feats[:, :2].double().requires_grad_(),
        fast_mode=True)


def test_average_of_torchvision_is_asked_for_with_its_arguments(
        ours, feats, monkeypatch):
    """Torchvision itself is not installed where this is tested."""
    from mmbombo.ops import roi_align as module

    class Library:

        @staticmethod
        def roi_align(feats, boxes, output_size, spatial_scale, sampling_ratio,
                      aligned):
            assert spatial_scale == SCALE and aligned is True
            return torch.tensor(
                align(feats.detach(), boxes, output_size, sampling_ratio,
                      'avg', aligned))

    ours('roi_align')
    own = roi_align(feats, ROIS, (3, 2), SCALE, 2)
    monkeypatch.setattr(module, 'torchvision_ops', lambda: Library)
    theirs = roi_align(feats, ROIS, (3, 2), SCALE, 2)
    torch.testing.assert_close(own, theirs, atol=1e-5, rtol=1e-5)
