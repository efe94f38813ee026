# Copyright (c) mmbombo contributors.
"""Class activation maps, brought to one convention."""
from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

#: Keeps the maximum of an empty map from dividing by zero, as published.
_EPS = 1e-5


def mean_cam(maps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
    """Mean of maps of the same images at several scales.

    Args:
        maps (Sequence[Tensor]): Each ``(n, C, h_i, w_i)``, of any scale, not
            flipped.
        size (Sequence[int]): ``(h, w)`` of the result.

    Returns:
        Tensor: ``(n, C, h, w)`` float32; what speaks against a class is cut
        off before.
    """
    return torch.stack([
        F.interpolate(
            x.float().relu(),
            size=tuple(size),
            mode='bilinear',
            align_corners=False) for x in maps
    ]).mean(0)


def normalize_cam(maps: Tensor, candidates: Tensor,
                  inside: Tensor) -> Tensor:
    """Scale the map of each class to a maximum of 1.

    Args:
        maps (Tensor): ``(n, C, h, w)``.
        candidates (Tensor): ``(n, C)`` bool, the classes that an image may
            show; the maps of others become 0.
        inside (Tensor): ``(n, 1, h, w)`` bool, false in a batch's padding.

    Returns:
        Tensor: ``(n, C, h, w)`` float32 in [0, 1).
    """
    maps = maps.float().relu() * (candidates[..., None, None] & inside)
    return maps / (maps.amax((2, 3), keepdim=True) + _EPS)
