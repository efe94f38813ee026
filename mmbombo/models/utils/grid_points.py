# Copyright (c) mmbombo contributors.
"""Where the cells of feature maps lie in the image."""
from typing import Sequence, Tuple

import torch
from mmdet.structures import DetDataSample
from torch import Tensor


def grid_points(size: Sequence[int], input_size: Sequence[int],
                device: torch.device) -> Tuple[Tensor, Tensor]:
    """Centers of the cells of a map of ``size`` (height, width): y ``(H, )``
    of the rows and x ``(W, )`` of the columns, in pixels of the input."""
    ys, xs = ((torch.arange(cells, device=device) + 0.5) * pixels / cells
              for cells, pixels in zip(size, input_size))
    return ys, xs


def prior_offset(prior_generator) -> float:
    """Where MMDetection's priors lie in their cells, in strides."""
    if hasattr(prior_generator, 'center_offset'):  # anchors
        return prior_generator.center_offset
    return prior_generator.offset  # points


def valid_cells(metas: Sequence[dict], size: Sequence[int],
                input_size: Sequence[int], device: torch.device) -> Tensor:
    """Cells ``(n, H, W)`` of a map of ``size`` (height, width) whose center
    lies in the image (``img_shape`` of its meta), not in its padding.

    The padding is that of the batch; what ``mmdet.Pad`` adds in a pipeline is
    part of the image, as it is for MMDetection's heads.
    """
    shapes = torch.tensor([meta['img_shape'][:2] for meta in metas])
    shapes = shapes.to(device, non_blocking=True)
    centers_y, centers_x = grid_points(size, input_size, device)
    in_y = centers_y < shapes[:, :1]
    in_x = centers_x < shapes[:, 1:]
    return in_y[:, :, None] & in_x[:, None]


def valid_cells_of_levels(metas: Sequence[dict], sizes: Sequence[Tuple[int,
                                                                       int]],
                          input_size: Sequence[int],
                          device: torch.device) -> Tensor:
    """:func:`valid_cells` of several maps ``(n, K)``, level by level."""
    return torch.cat([
        valid_cells(metas, size, input_size, device).flatten(1)
        for size in sizes
    ],
                     dim=1)


def unpadded_shape(sample: DetDataSample) -> Tuple[int, int]:
    """Height and width of an image in the input, without any padding.

    ``mmdet.Pad`` in a test pipeline, as RTMDet's has it, makes the padding
    part of ``img_shape``; the scale tells how large the image was before.
    """
    height, width = sample.img_shape[:2]
    if 'scale_factor' in sample:
        across, down = sample.scale_factor[:2]
        height = min(height, round(sample.ori_shape[0] * down))
        width = min(width, round(sample.ori_shape[1] * across))
    return height, width


def covered_cells(boxes: Tensor, classes: Tensor, xs: Tensor,
                  ys: Tensor) -> Tensor:
    """The cells ``(N, C, H, W)`` that boxes ``(N, K, 4)`` of each class
    ``(N, K, C)`` cover, by the cells' centers ``xs`` and ``ys`` in pixels.

    The left and top edges belong to a box, the right and bottom ones do not.
    """
    x1, y1, x2, y2 = boxes[..., None].unbind(dim=2)
    in_x, in_y = (xs >= x1) & (xs < x2), (ys >= y1) & (ys < y2)
    cells = (in_y[..., :, None] & in_x[..., None, :]).flatten(2)
    covered = torch.bmm(classes.transpose(1, 2).float(), cells.float()) > 0
    return covered.unflatten(2, (len(ys), len(xs)))
