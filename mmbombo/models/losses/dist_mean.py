# Copyright (c) mmbombo contributors.
import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def sum_over_ranks(value: Tensor) -> Tensor:
    """Sum of all ranks' values, without gradient; the value is kept."""
    total = value.detach().clone()
    all_reduce(total)
    return total


def ratio_over_ranks(numerator: Tensor,
                     denominator: Tensor,
                     min_denominator: float = 1.) -> Tensor:
    """Divide a rank's sum by the sum of all ranks' denominators, but at least
    ``min_denominator``; no gradient flows through these.

    Distributed training averages gradients over ranks, so the result is scaled
    by their number: the average of what the ranks get is the ratio of the sums
    over all images of all ranks.
    """
    total = sum_over_ranks(denominator.to(numerator.dtype))
    return numerator * (get_world_size() / total.clamp(min=min_denominator))


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean over all ranks, zero without any weight, see
    :func:`ratio_over_ranks`; the weights broadcast to the values."""
    weights = weights.to(values.dtype).expand_as(values)
    # small, but its inverse is no overflow in the making
    return ratio_over_ranks((values * weights).sum(), weights.sum(), 1e-6)


def full_precision(values: Tensor) -> Tensor:
    """Half-precision values as float32; others as they are."""
    if values.dtype in (torch.float16, torch.bfloat16):
        return values.float()
    return values
