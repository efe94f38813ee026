# Copyright (c) mmbombo contributors.
"""RoIPool without compiled operators.

That of torchvision rounds regions to whole pixels first, MMCV's does not.
"""
import torch
from torch import Tensor


def roi_pool_forward(feats: Tensor, rois: Tensor, output: Tensor,
                     argmax: Tensor, pooled_height: int, pooled_width: int,
                     spatial_scale: float) -> None:
    """Fill ``output`` (K, C, h, w) with the maxima of the features
    (N, C, H, W) in the bins of regions, zero in an empty bin, and ``argmax``
    with their pixels, -1 there.

    Regions are the index of the image and corners (K, 5), which times
    ``spatial_scale`` are positions in the maps.
    """
    output.zero_()
    argmax.fill_(-1)
    height, width = feats.shape[2:]
    rows = _bins(rois[:, 2], rois[:, 4], spatial_scale, pooled_height, height)
    columns = _bins(rois[:, 1], rois[:, 3], spatial_scale, pooled_width, width)
    for number, image in enumerate(rois[:, 0].long().tolist()):
        for i, (top, bottom) in enumerate(rows[number]):
            for j, (left, right) in enumerate(columns[number]):
                if top >= bottom or left >= right:
                    continue
                pixels = feats[image, :, top:bottom, left:right].flatten(1)
                highest, index = pixels.max(dim=1)
                output[number, :, i, j] = highest
                argmax[number, :, i,
                       j] = ((top + index // (right - left)) * width + left +
                             index % (right - left))


def roi_pool_backward(grad_output: Tensor, rois: Tensor, argmax: Tensor,
                      grad_input: Tensor, pooled_height: int,
                      pooled_width: int, spatial_scale: float) -> None:
    """Add the derivatives by the features to ``grad_input``.

    For the arguments see :func:`roi_pool_forward`.
    """
    channels = grad_input.size(1)
    planes = rois[:, :1].long() * channels + torch.arange(
        channels, device=rois.device)
    planes = planes[..., None, None].expand_as(argmax)
    taken = argmax >= 0
    grad_input.view(-1, grad_input[0, 0].numel()).index_put_(
        (planes[taken], argmax[taken].long()),
        grad_output[taken],
        accumulate=True)


def _bins(low: Tensor, high: Tensor, scale: float, count: int,
          limit: int) -> list:
    """First pixel and end of each bin along an axis, shape (K, count, 2)."""
    low, high = low * scale, (high + 1) * scale
    step = ((high - low) / count)[:, None]
    edges = torch.arange(count + 1, device=low.device)
    first = (edges[:-1] * step + low[:, None]).floor()
    end = (edges[1:] * step + low[:, None]).ceil()
    return torch.stack((first, end), dim=-1).clamp(0, limit).long().tolist()
