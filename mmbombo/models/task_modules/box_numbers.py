# Copyright (c) mmbombo contributors.
import torch
from torch import Tensor


def of_numbered_box(values: Tensor, numbers: Tensor, none: float) -> Tensor:
    """What the boxes say, for anchors that name their box by its number.

    Args:
        values (Tensor): ``(G, ...)``, a row per box.
        numbers (Tensor): ``(A, )`` the box of each anchor, counted from 1 as
            in MMDetection's ``gt_inds``; at most 0 if it has none.
        none (float): What an anchor without a box gets.

    Returns:
        Tensor: ``(A, ...)``.
    """
    row = values.new_full((1, *values.shape[1:]), none)
    return torch.cat([row, values])[numbers.clamp(min=0)]
