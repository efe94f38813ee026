# Copyright (c) mmbombo contributors.
"""RoIAlign without compiled operators."""
from typing import Iterator, Tuple

import torch
from torch import Tensor

from .backend import torchvision_ops
from .bilinear import bilinear
from .gradients import fill_gradients

MAX = 0


def roi_align_forward(feats: Tensor, rois: Tensor, output: Tensor,
                      argmax_y: Tensor, argmax_x: Tensor, aligned_height: int,
                      aligned_width: int, spatial_scale: float,
                      sampling_ratio: int, pool_mode: int,
                      aligned: bool) -> None:
    """Fill ``output`` (K, C, h, w) with the features (N, C, H, W) of regions:
    index of the image and corners (K, 5), which times ``spatial_scale`` are
    positions in the maps.

    A bin has ``sampling_ratio`` samples along each axis, 0 for as many as it
    has pixels. With ``pool_mode`` 0 the highest counts, whose row and column
    go to the ``argmax``, with 1 the average. ``aligned``: the center of the
    first pixel is at 0.5.
    """
    args = (rois, (aligned_height, aligned_width), spatial_scale,
            sampling_ratio, aligned)
    if pool_mode != MAX:
        output.copy_(_average(feats, *args))
        return
    argmax_y.fill_(-1)
    argmax_x.fill_(-1)
    for chosen, image, y, x in _positions(*args):
        samples = _sample(feats[image], y, x).flatten(4)
        highest, index = samples.max(dim=4)
        output[chosen] = highest.transpose(0, 1).to(output)
        index = index.transpose(0, 1)[..., None]
        for positions, argmax in ((y, argmax_y), (x, argmax_x)):
            positions = positions.flatten(3)[:, None].expand(
                -1, feats.size(1), -1, -1, -1)
            argmax[chosen] = positions.gather(4, index)[..., 0].to(argmax)


def roi_align_backward(grad_output: Tensor, rois: Tensor, argmax_y: Tensor,
                       argmax_x: Tensor, grad_input: Tensor,
                       aligned_height: int, aligned_width: int,
                       spatial_scale: float, sampling_ratio: int,
                       pool_mode: int, aligned: bool) -> None:
    """Fill ``grad_input`` with the derivative by the features.

    For the arguments see :func:`roi_align_forward`.
    """

    def pool(feats):
        if pool_mode == MAX:
            return _at_highest(feats, rois, argmax_y, argmax_x)
        return _average(feats, rois, (aligned_height, aligned_width),
                        spatial_scale, sampling_ratio, aligned)

    # The features need not be known: at given positions, pooling is linear.
    fill_gradients(pool, (grad_input, ), grad_output, (grad_input, ))


def _average(feats: Tensor, rois: Tensor, size: Tuple[int, int],
             spatial_scale: float, sampling_ratio: int,
             aligned: bool) -> Tensor:
    library = torchvision_ops()
    if library is not None:
        return library.roi_align(feats, rois.to(feats), size, spatial_scale,
                                 sampling_ratio, aligned)
    pooled = feats.new_zeros(rois.size(0), feats.size(1), *size)
    for chosen, image, y, x in _positions(rois, size, spatial_scale,
                                          sampling_ratio, aligned):
        samples = _sample(feats[image], y, x).mean(dim=(4, 5))
        pooled[chosen] = samples.transpose(0, 1).to(pooled)
    return pooled


def _positions(rois: Tensor, size: Tuple[int, int], spatial_scale: float,
               sampling_ratio: int,
               aligned: bool) -> Iterator[Tuple[Tensor, int, Tensor, Tensor]]:
    """Where to sample, for regions of one image and one number of samples.

    Yields indices of G regions, their image, and rows and columns of the
    samples (G, h, w, rows of a bin, columns of a bin).
    """
    rois = rois.to(torch.promote_types(rois.dtype, torch.float32))
    corners = rois[:, 1:] * spatial_scale - (0.5 if aligned else 0.)
    start = corners[:, [1, 0]]
    extent = corners[:, [3, 2]] - start
    if not aligned:
        extent = extent.clamp(min=1)
    step = extent / rois.new_tensor(size)
    counts = step.ceil().clamp(min=0)
    if sampling_ratio > 0:
        counts = torch.full_like(counts, sampling_ratio)
    kinds, kind = torch.cat((rois[:, :1], counts), dim=1).long().unique(
        dim=0, return_inverse=True)
    for number, (image, *grid) in enumerate(kinds.tolist()):
        if min(grid) == 0:
            continue
        chosen = (kind == number).nonzero()[:, 0]
        axes = []
        for axis in range(2):
            first = start[chosen, axis, None, None]
            width = step[chosen, axis, None, None]
            bins = torch.arange(size[axis], device=rois.device)[:, None]
            inside = torch.arange(grid[axis], device=rois.device) + 0.5
            axes.append(first + bins * width + inside * width / grid[axis])
        yield (chosen, image, *torch.broadcast_tensors(
            axes[0][:, :, None, :, None], axes[1][:, None, :, None, :]))


def _sample(maps: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Sample maps of shape (C, H, W) at positions of any shape."""
    samples = _clamped(maps[None], y.reshape(1, -1), x.reshape(1, -1))
    return samples.view(-1, *y.shape)


def _at_highest(feats: Tensor, rois: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """The highest samples again, whose positions differ by channel."""
    pooled = feats.new_zeros(y.shape)
    images = rois[:, 0].long()
    for image in images.unique().tolist():
        chosen = (images == image).nonzero()[:, 0]
        rows, columns = (
            positions[chosen].transpose(0, 1).flatten(1).float()
            for positions in (y, x))
        samples = _clamped(feats[image][:, None], rows, columns)
        samples = samples * (rows != -1)[:, None]
        pooled[chosen] = samples.view(-1, chosen.numel(),
                                      *y.shape[2:]).transpose(0, 1).to(pooled)
    return pooled


def _clamped(maps: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Up to a pixel beyond the border, a map goes on as at its border."""
    height, width = maps.shape[2:]
    near = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    return bilinear(maps, y.clamp(0, height - 1), x.clamp(
        0, width - 1)) * near[:, None]
