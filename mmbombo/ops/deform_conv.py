# Copyright (c) mmbombo contributors.
"""Deformable convolution without compiled operators."""
from typing import Dict

import torch
from torch import Tensor

from .backend import torchvision_ops
from .bilinear import bilinear
from .gradients import fill_gradients


def deform_conv_forward(feats: Tensor, weight: Tensor, offset: Tensor,
                        output: Tensor, columns: Tensor, ones: Tensor,
                        **geometry: int) -> None:
    """Fill ``output`` (N, C', H', W') with the convolution of ``feats``
    (N, C, H, W) by ``weight`` (C', C / group, kH, kW) at positions that are
    shifted by ``offset`` (N, deformable_group * kH * kW * 2, H', W'), y before
    x.

    ``columns`` and ``ones`` are memory of MMCV's own operator.
    """
    output.copy_(_convolve(feats, offset, weight, geometry))


def deform_conv_backward_input(feats: Tensor, offset: Tensor,
                               grad_output: Tensor, grad_input: Tensor,
                               grad_offset: Tensor, weight: Tensor,
                               columns: Tensor, **geometry: int) -> None:
    """Fill the derivatives by the features and the shifts."""
    fill_gradients(
        lambda feats, offset: _convolve(feats, offset, weight, geometry),
        (feats, offset), grad_output, (grad_input, grad_offset))


def deform_conv_backward_parameters(feats: Tensor, offset: Tensor,
                                    grad_output: Tensor, grad_weight: Tensor,
                                    columns: Tensor, ones: Tensor,
                                    **geometry: int) -> None:
    """Fill the derivative by the kernels."""
    fill_gradients(lambda weight: _convolve(feats, offset, weight, geometry),
                   (torch.zeros_like(grad_weight), ), grad_output,
                   (grad_weight, ))


def _convolve(feats: Tensor, offset: Tensor, weight: Tensor,
              geometry: Dict[str, int]) -> Tensor:
    stride, padding, dilation = ((geometry[f'{name}H'], geometry[f'{name}W'])
                                 for name in ('d', 'pad', 'dilation'))
    library = torchvision_ops()
    if library is not None:
        return library.deform_conv2d(feats, offset, weight, None, stride,
                                     padding, dilation)
    images, _, *size = offset.shape
    kernel = weight.shape[2:]
    shifts = offset.reshape(images * geometry['deformable_group'], -1, 2,
                            *size)
    shifts = shifts.to(torch.promote_types(shifts.dtype, torch.float32))
    grids = []
    for axis in range(2):
        taps = torch.arange(kernel[axis], device=offset.device)
        starts = torch.arange(size[axis], device=offset.device)
        grids.append(taps[:, None] * dilation[axis] + starts * stride[axis] -
                     padding[axis])
    rows = grids[0][:, None, :, None].expand(*kernel, *size)
    columns = grids[1][None, :, None, :].expand(*kernel, *size)
    samples = bilinear(
        feats.reshape(shifts.size(0), -1, *feats.shape[2:]),
        (shifts[:, :, 0] + rows.flatten(0, 1)).flatten(1),
        (shifts[:, :, 1] + columns.flatten(0, 1)).flatten(1))
    groups = geometry['group']
    samples = samples.reshape(images, groups, -1, size[0] * size[1])
    kernels = weight.reshape(groups, weight.size(0) // groups, -1)
    return (kernels.to(samples) @ samples).reshape(images, -1, *size).to(feats)
