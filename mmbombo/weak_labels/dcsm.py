# Copyright (c) mmbombo contributors.
from typing import Sequence

import torch.nn.functional as F
from torch import Tensor

#: Where tanh begins to saturate: the greatest difference becomes this.
_STEEPNESS = 3.


def distinct_class_saliency(maps: Sequence[Tensor],
                            size: Sequence[int]) -> Tensor:
    """What is salient for one class and not for others (DCSM).

    In each layer, the differences of a class's map from those of the other
    classes are squashed and summed; the layers are averaged.

    Source: Shimoda and Yanai, "Distinct Class-Specific Saliency Maps for
    Weakly Supervised Semantic Segmentation", ECCV 2016, and its published
    code.

    Args:
        maps (Sequence[Tensor]): Of each layer ``(K, h_l, w_l)``, K >= 2
            classes, the greatest gradient over the channels.
        size (Sequence[int]): Height and width, H and W, of the result.

    Returns:
        Tensor: ``(K, H, W)`` in 0..1; 0 where no layer tells a class apart.
    """
    total = 0
    for layer in maps:
        differences = layer[:, None] - layer[None]  # 0 from itself
        distinct = _squash(_squash(differences).sum(1))
        total = total + F.interpolate(
            distinct[None], tuple(size), mode='bilinear')[0]
    return _to_maximum(total, 1.).clamp(min=0)


def _squash(values: Tensor) -> Tensor:
    return _to_maximum(values, _STEEPNESS).tanh()


def _to_maximum(values: Tensor, maximum: float) -> Tensor:
    """Maps ``(..., h, w)`` scaled to a maximum; 0 if none is positive."""
    highest = values.amax((-2, -1), keepdim=True)
    is_positive = highest > 0
    scaled = maximum * values / highest.where(is_positive, 1.)
    return scaled.where(is_positive, 0.)
