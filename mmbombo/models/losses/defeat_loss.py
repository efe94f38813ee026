# Copyright (c) mmbombo contributors.
from typing import Tuple

from torch import Tensor

from .dist_mean import weighted_mean


def defeat_loss(distance: Tensor, foreground: Tensor,
                valid: Tensor) -> Tuple[Tensor, Tensor]:
    """Feature distance of objects and of background, apart.

    `DeFeat <https://arxiv.org/abs/2103.14475>`_ gives objects, which cover
    few cells, as much weight as the background: half the mean distance over
    the cells of each. In MulTaS' released code the sums run over the channels
    but the normalizer does not, and the result is divided by the batch size
    after the cells of the batch have been counted already; here both are
    means, so that neither channels nor batch size change the weight, and an
    equal distance everywhere gives that of
    :func:`~mmbombo.models.losses.feature_distance.feature_mse`.

    Args:
        distance (Tensor): ``(N, K)`` of
            :func:`~mmbombo.models.losses.feature_distance.feature_distance`.
        foreground (Tensor): ``(N, K)`` bool, cells of objects.
        valid (Tensor): ``(N, K)`` bool, False in the padding.

    Returns:
        tuple[Tensor, Tensor]: Loss of objects and of background, scalars;
        zero without such cells.
    """
    return (weighted_mean(distance, foreground & valid) / 2,
            weighted_mean(distance, ~foreground & valid) / 2)
