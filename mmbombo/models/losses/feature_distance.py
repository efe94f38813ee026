# Copyright (c) mmbombo contributors.
from typing import Sequence

import torch
from torch import Tensor

from .dist_mean import full_precision, weighted_mean


def feature_distance(student: Sequence[Tensor],
                     teacher: Sequence[Tensor]) -> Tensor:
    """Squared distance of feature maps, mean over the channels.

    Args:
        student (Sequence[Tensor]): Maps ``(N, C_l, H_l, W_l)`` per level.
        teacher (Sequence[Tensor]): Maps of the same shapes; get no gradient.

    Returns:
        Tensor: ``(N, K)``, the cells of all levels, level by level and row by
        row.
    """
    return torch.cat([
        (full_precision(s) - full_precision(t.detach())).square().mean(
            dim=1).flatten(1) for s, t in zip(student, teacher)
    ],
                     dim=1)


def feature_mse(distance: Tensor, valid: Tensor) -> Tensor:
    """Mean squared distance of features over cells and channels.

    In the code of MulTaS the mean is over all cells of the padded batch; here
    cells in the padding do not count.

    Args:
        distance (Tensor): ``(N, K)`` of :func:`feature_distance`.
        valid (Tensor): ``(N, K)`` bool, False in the padding.

    Returns:
        Tensor: A scalar, the mean over all ranks.
    """
    return weighted_mean(distance, valid)
