# Copyright (c) mmbombo contributors.
import pytest
import torch
from mmcv.ops import deform_conv2d
from torch.autograd import gradcheck
from torch.nn import functional as F

#: stride, padding, dilation, groups, groups of shifts
GEOMETRIES = [(1, 1, 1, 1, 1), (2, 0, 1, 2, 1), (1, 2, 2, 1, 4),
              ((1, 2), (2, 1), (2, 1), 2, 2)]


def make(geometry, dtype=torch.float32, kernel=(3, 2)):
    stride, padding, dilation, groups, shift_groups = geometry
    generator = torch.Generator().manual_seed(0)
    feats = torch.randn(2, 4, 6, 7, generator=generator, dtype=dtype)
    weight = torch.randn(
        6, 4 // groups, *kernel, generator=generator, dtype=dtype)
    size = F.conv2d(feats, weight, None, stride, padding, dilation,
                    groups).shape[2:]
    offset = torch.randn(
        2,
        shift_groups * 2 * kernel[0] * kernel[1],
        *size,
        generator=generator,
        dtype=dtype) * 2
    return feats, offset, weight


def shift_one_by_one(feats, offset, weight, stride, padding):
    """One group, no dilation."""
    images, _, height, width = offset.shape
    shifts = offset.view(images, *weight.shape[2:], 2, height, width)
    result = torch.zeros(images, len(weight), height, width)
    for n, y, x in torch.cartesian_prod(
            *map(torch.arange, (images, height, width))):
        for i, j in torch.cartesian_prod(*map(torch.arange, weight.shape[2:])):
            at = shifts[n, i, j, :, y, x] + torch.stack(
                (y * stride - padding + i, x * stride - padding + j))
            corner = at.floor().long()
            for step in torch.cartesian_prod(*[torch.arange(2)] * 2):
                row, column = corner + step
                if 0 <= row < feats.size(2) and 0 <= column < feats.size(3):
                    share = (1 - (at - corner - step).abs()).prod()
                    result[n, :, y, x] += share * (
                        weight[:, :, i, j] @ feats[n, :, row, column])
    return result


def test_positions_are_shifted(ours):
    ours('deform_conv')
    for geometry in ((1, 1, 1, 1, 1), (2, 0, 1, 1, 1)):
        sample = make(geometry)
        torch.testing.assert_close(
            deform_conv2d(*sample, *geometry),
            shift_one_by_one(*sample, *geometry[:2]),
            atol=1e-5,
            rtol=1e-5)


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_no_shift_is_a_convolution(ours, geometry):
    ours('deform_conv')
    feats, offset, weight = make(geometry)
    torch.testing.assert_close(
        deform_conv2d(feats, 0 * offset, weight, *geometry),
        F.conv2d(feats, weight, None, *geometry[:4]),
        atol=1e-5,
        rtol=1e-5)


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_derivatives(ours, geometry):
    ours('deform_conv')
    sample = [
        tensor.requires_grad_() for tensor in make(geometry, torch.float64)
    ]
    assert gradcheck(
        lambda *sample: deform_conv2d(*sample, *geometry),
        sample,
        fast_mode=True)


def gradients(feats, offset, weight, geometry):
    leaves = [
        tensor.clone().requires_grad_() for tensor in (feats, offset, weight)
    ]
    result = deform_conv2d(*leaves, *geometry)
    (result * torch.arange(result.size(3))).sum().backward()
    return [result.detach()] + [leaf.grad for leaf in leaves]


@pytest.mark.parametrize('shift', [0, 1])
@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_deform_conv_is_that_of_mmcv(compiled, ours, geometry, shift):
    feats, offset, weight = make(geometry)
    # Between pixels, and at them, where the derivative jumps.
    offset = offset if shift else offset.round()
    expected = gradients(feats, offset, weight, geometry)
    ours('deform_conv')
    torch.testing.assert_close(
        gradients(feats, offset, weight, geometry),
        expected,
        atol=1e-4,
        rtol=1e-5)


def test_torchvision_is_asked_for_with_its_arguments(ours, monkeypatch):
    """Torchvision itself is not installed where this is tested."""
    from mmbombo.ops import deform_conv as module

    class Library:

        @staticmethod
        def deform_conv2d(feats, offset, weight, bias, stride, padding,
                          dilation):
            assert bias is None and dilation == (1, 1)
            return shift_one_by_one(feats, offset, weight, stride[0],
                                    padding[1])

    ours('deform_conv')
    sample = make((2, 0, 1, 1, 1))
    own = deform_conv2d(*sample, 2, 0)
    monkeypatch.setattr(module, 'torchvision_ops', lambda: Library)
    torch.testing.assert_close(
        own, deform_conv2d(*sample, 2, 0), atol=1e-5, rtol=1e-5)
