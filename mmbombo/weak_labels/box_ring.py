# Copyright (c) mmbombo contributors.
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

#: Cells; what is less is an edge that was rounded.
_NO_AREA = 1e-3
#: Which x and which y of a box; the sum has the sign + - - +.
_CORNERS = (0, 0), (1, 0), (0, 1), (1, 1)


def box_ring_mean(maps: Tensor, boxes: Tensor,
                  ratio: float) -> Tuple[Tensor, Tensor]:
    """Means of maps in boxes, and in the rings around them.

    A ring is what a box that is ``ratio`` times as wide and as high, about
    the same center, has besides the box. Both end with the map. Parts of
    cells count as parts, by one integral image for all boxes.

    Args:
        maps (Tensor): ``(C, H, W)``.
        boxes (Tensor): ``(R, 4)``, x1, y1, x2, y2 in cells of the maps.
        ratio (float): Greater than 1.

    Returns:
        tuple[Tensor, Tensor]: Means ``(R, C)``, 0 where there is no area.
    """
    center, half = boxes[:, :2] + boxes[:, 2:], boxes[:, 2:] - boxes[:, :2]
    wide = torch.cat([center - ratio * half, center + ratio * half], 1) / 2
    # the sums of one differ little among many cells
    integral = F.pad(maps.double().cumsum(-1).cumsum(-2), (1, 0, 1, 0))
    inside, area = _sums(integral, boxes)
    around, wide_area = _sums(integral, wide)
    return (_mean(inside,
                  area).to(maps), _mean(around - inside,
                                        wide_area - area).to(maps))


def _sums(integral: Tensor, boxes: Tensor) -> Tuple[Tensor, Tensor]:
    """Sums ``(R, C)`` and areas ``(R, 1)`` of what boxes have of a map."""
    size = boxes.new_tensor(integral.shape[:-3:-1], dtype=torch.double) - 1
    corners = boxes.double().view(-1, 2, 2).clamp(min=0).minimum(size)
    extent = corners.diff(dim=1)[:, 0].clamp(min=0)
    # within a cell the integral is bilinear, exactly
    points = torch.stack([corners[:, [i, j], [0, 1]] for i, j in _CORNERS], 1)
    values = F.grid_sample(
        integral[None], (2 * points / size - 1)[None], align_corners=True)[0]
    sums = values @ values.new_tensor([1, -1, -1, 1])
    return sums.T, extent.prod(1, keepdim=True)


def _mean(sums: Tensor, area: Tensor) -> Tensor:
    return torch.where(area > _NO_AREA, sums / area.clamp(min=_NO_AREA), 0.)
