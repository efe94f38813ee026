# Copyright (c) mmbombo contributors.
"""Class activation maps, brought to one convention."""
from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

#: Keeps the maximum of an empty map from dividing by zero, as published.
_EPS = 1e-5


def mean_cam(maps: Sequence[Tensor]) -> Tensor:
    """Mean of maps ``(n, C, h_i, w_i)`` of the same images at several scales.

    What speaks against a class is cut off before, as in PSA and RRM, whose
    mean has the size of the map of scale 1; that it has the size of the finest
    map is ours.
    """
    size = max((x.shape[-2:] for x in maps), key=lambda x: x[0] * x[1])
    return torch.stack([
        F.interpolate(
            x.float().relu(), size=size, mode='bilinear', align_corners=False)
        for x in maps
    ]).mean(0)


def normalize_cam(maps: Tensor) -> Tensor:
    """Scale each map ``(..., h, w)`` of an image to a maximum of 1."""
    return maps / (maps.amax((-2, -1), keepdim=True) + _EPS)
