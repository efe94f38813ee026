# Copyright (c) mmbombo contributors.
import torch
from torch import Tensor

from .dist_mean import weighted_mean


def projection_loss(probs: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Dice loss between projections of class probabilities ``(N, D, H, W)``
    and of boxes: bool maps of the same shape, the union of the boxes of a
    class that have its object in each column, or in each row.

    A tight box has a pixel of its object in each of its columns and rows. So
    the largest probability of the class along each of them should be one, as
    in BoxInst (Tian et al., CVPR 2021, section 3.1), with the union of the
    boxes of a class in place of an instance's box. The mean is over the images
    and classes that have a box, on all ranks.

    What is outside the union is not looked at; that it shows another class is
    for a loss on certain pixels to say.
    """
    along_columns = _dice(probs, columns, dim=2)
    along_rows = _dice(probs, rows, dim=3)
    return along_columns + along_rows


def _dice(probs: Tensor, union: Tensor, dim: int) -> Tensor:
    """Mean dice loss of the projections along a dimension."""
    projection = torch.where(union, probs, 0.).amax(dim=dim)
    target = union.any(dim=dim)
    length = target.sum(dim=2)
    # outside the target the projection is zero, so it is the intersection
    overlap = projection.sum(dim=2)
    total = projection.square().sum(dim=2) + length
    loss = 1 - 2 * overlap / total.clamp(min=1)
    return weighted_mean(loss, length > 0)
