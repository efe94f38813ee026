# Copyright (c) mmbombo contributors.
from typing import Sequence, Tuple

import torch
from torch import Tensor

from .grid_points import grid_points


def valid_cells(metas: Sequence[dict], size: Sequence[int],
                input_size: Sequence[int],
                device: torch.device) -> Tensor:
    """Cells of a map whose center lies in the image, not in its padding.

    The padding is that of the batch; what ``mmdet.Pad`` adds in a pipeline is
    part of the image, as it is for MMDetection's heads.

    Args:
        metas (Sequence[dict]): Meta information of n images, with
            ``img_shape``.
        size (Sequence[int]): Height and width of the map in cells.
        input_size (Sequence[int]): Height and width of the padded input in
            pixels.
        device (torch.device): Where the result is needed.

    Returns:
        Tensor: ``(n, H, W)`` bool.
    """
    shapes = torch.tensor([meta['img_shape'][:2] for meta in metas])
    shapes = shapes.to(device, non_blocking=True)
    centers_y, centers_x = grid_points(size, input_size, device)
    in_y = centers_y < shapes[:, :1]
    in_x = centers_x < shapes[:, 1:]
    return in_y[:, :, None] & in_x[:, None]


def valid_cells_of_levels(metas: Sequence[dict],
                          sizes: Sequence[Tuple[int, int]],
                          input_size: Sequence[int],
                          device: torch.device) -> Tensor:
    """:func:`valid_cells` of several maps ``(n, K)``, level by level."""
    return torch.cat([
        valid_cells(metas, size, input_size, device).flatten(1)
        for size in sizes
    ],
                     dim=1)
