# Copyright (c) mmbombo contributors.
"""Pooling in regions of any shape, of `E2S2
<https://arxiv.org/abs/1607.07671>`_ and its published code."""
from itertools import product
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbombo.structures.regions import Regions
from mmbombo.utils import UserError

MODES = ('box', 'fg', 'grouped', 'separate', 'shared_sum')

#: Bins that are pooled at once: what the cache of a CPU holds.
BLOCK = 2048


class FreeformRoIPool(nn.Module):
    """Pool in boxes, and set to zero what is not of the region in them.

    Args:
        output_size (int): Rows and columns of bins, k.
        stride (int): Pixels of the image per cell of the map.
        mode (str): 'box', all of the boxes; 'fg', what is of the regions;
            'grouped' and 'separate', the channels of 'fg' and then of 'box',
            which the layers above tell apart; 'shared_sum', the sum, as if
            both went through the same linear layer.
    """

    def __init__(self,
                 output_size: int,
                 stride: int,
                 mode: str = 'separate') -> None:
        super().__init__()
        if mode not in MODES:
            raise UserError(
                f'the mode of FreeformRoIPool must be one of {MODES}, not '
                f'{mode!r}')
        self.output_size = output_size
        self.stride = stride
        self.mode = mode

    def forward(self,
                feat: Tensor,
                bboxes: Tensor,
                masks: Optional[Tensor] = None) -> Tensor:
        """Pool in R regions of an image.

        Args:
            feat (Tensor): ``(C, h, w)``, see :func:`roi_max_pool`.
            bboxes (Tensor): ``(R, 4)``, edges in pixels of the image.
            masks (Tensor, optional): ``(R, k, k)``, see :func:`bin_masks`;
                'box' needs none.

        Returns:
            Tensor: ``(R, C, k, k)``, or twice the channels.
        """
        box = roi_max_pool(feat, bboxes, self.output_size, self.stride)
        if self.mode == 'box':
            return box
        fg = box * masks[:, None]
        if self.mode == 'fg':
            return fg
        if self.mode == 'shared_sum':
            return fg + box
        return torch.cat([fg, box], dim=1)


def roi_max_pool(feat: Tensor, bboxes: Tensor, size: int,
                 stride: int) -> Tensor:
    """Maxima in the bins of boxes, the gradient goes to the first of them.

    The corners of image and map are on each other, and bins are whole cells
    that overlap. MMCV's RoIPool has narrower bins, and runs on GPUs only; its
    RoIAlign takes three times as long on a CPU.

    Args:
        feat (Tensor): ``(C, h, w)`` of an image of ``h * stride`` rows.
        bboxes (Tensor): ``(R, 4)``, edges in pixels of the image.
        size (int): Rows and columns of bins, k.
        stride (int): Pixels of the image per cell.

    Returns:
        Tensor: ``(R, C, k, k)``.
    """
    channels, height, width = feat.shape
    # places in the order of the values: the lowest is that of the maximum
    values, order = feat.flatten(1).sort(dim=1, descending=True, stable=True)
    values = values.T.contiguous()
    places = order.argsort(1).int().T.reshape(height, width, channels)
    top, bottom, row_level = _bins(bboxes[:, 1::2], size, height, stride)
    left, right, column_level = _bins(bboxes[:, 0::2], size, width, stride)
    places = _window_minima(_window_minima(places, 0), 2)
    level = column_level[:, None] * places.size(1) + row_level[:, :, None]
    # any range is the union of two windows of a power of two of cells
    cells = torch.stack(
        [(level * height + row[:, :, None]) * width + column[:, None]
         for row, column in product((top, bottom), (left, right))],
        dim=-1)
    places = places.flatten(0, 3)
    pooled = [
        values.gather(0,
                      F.embedding(block, places).amin(1).long())
        for block in cells.flatten(0, 2).split(BLOCK)
    ]
    pooled = torch.cat(pooled).view(-1, size, size, channels)
    return pooled.permute(0, 3, 1, 2)


def _bins(edges: Tensor, count: int, limit: int,
          stride: int) -> Tuple[Tensor, Tensor, Tensor]:
    """First cells of the first and the last window in each bin, and how often
    the windows double, all ``(R, count)``."""
    low, high = edges.double().split(1, dim=1)
    steps = torch.arange(count + 1, device=edges.device)
    # one division, and last, so that whole pixels are rounded right
    edges = (low * count + (high - 1 - low) * steps) * (limit - 1) / (
        count * (limit * stride - 1))
    first = edges[:, :-1].floor().clamp(0, limit - 1).long()
    last = edges[:, 1:].ceil().clamp(0, limit - 1).long()
    level = (last - first + 1).double().frexp().exponent - 1
    return first, last + 1 - 2**level, level


def _window_minima(values: Tensor, dim: int) -> Tensor:
    """Minima of 1, 2, 4, ... values along a dimension, from each on, stacked
    in front."""
    minima = [values]
    for level in range(values.size(dim).bit_length() - 1):
        minima.append(
            torch.minimum(minima[-1], minima[-1].roll(-2**level, dim)))
    return torch.stack(minima)


def bin_masks(regions: Regions, size: int) -> Tensor:
    """Which bins of their boxes regions are in.

    Their masks, cropped to their boxes and resized to the bins, bilinear and
    not smoothed, are more than 0. No mask is drawn: memory is a byte for each
    region and superpixel, and 8 for each bin's four pixels.

    Args:
        regions (:obj:`Regions`): R regions.
        size (int): Rows and columns of bins, k.

    Returns:
        Tensor: ``(R, k, k)`` bool.
    """
    numbers = regions.superpixels
    contains = torch.zeros(
        len(regions),
        regions.num_superpixels + 1,
        dtype=torch.bool,
        device=numbers.device)
    contains[tuple(regions.pairs)] = True
    x1, y1, x2, y2 = regions.bboxes.T
    rows = _neighbors(y1, y2, size, numbers.size(0))
    columns = _neighbors(x1, x2, size, numbers.size(1))
    pixels = numbers[rows[:, :, None], columns[:, None]]
    inside = contains.gather(1, pixels.flatten(1).remainder(contains.size(1)))
    return inside.view(-1, size, 2, size, 2).any(4).any(2)


def _neighbors(low: Tensor, high: Tensor, bins: int, limit: int) -> Tensor:
    """The pixels on both sides of the centers of bins, which are one pixel
    where a center is on it: ``(R, 2 * bins)``."""
    low, high = low.floor().long(), high.ceil().long()
    extent = (high - low).clamp(min=1)[:, None]
    # times two times the number of bins, so that nothing is rounded
    center = (2 * torch.arange(bins, device=low.device) + 1) * extent - bins
    sides = torch.stack([center // (2 * bins), -(-center // (2 * bins))], 2)
    sides = sides.clamp(min=0).minimum(extent[..., None] - 1)
    return (low[:, None] + sides.flatten(1)).clamp(0, limit - 1)
