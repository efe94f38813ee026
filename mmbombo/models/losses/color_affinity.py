# Copyright (c) mmbombo contributors.
from typing import Tuple

import torch
from torch import Tensor

from .dist_mean import ratio_over_ranks

#: Distance of colors in CIELAB at which their similarity is 1 / e.
COLOR_SCALE = 2.


def color_affinity_loss(logits: Tensor,
                        colors: Tensor,
                        inside: Tensor,
                        valid: Tensor,
                        similarity_thr: float = 0.3,
                        dilation: int = 2) -> Tensor:
    """Neighbors of similar color should have the same label.

    The pairwise term of BoxInst (Tian et al., CVPR 2021, section 3.2) for
    semantic probabilities: the probability that two pixels have the same
    label is the sum over classes of the product of theirs. Pairs of less
    similar color say nothing. A pair counts if one of its pixels is in a
    box: those that cross a box's border carry what is certain outside into
    the box, without which a label that fills the box would cost nothing.

    Args:
        logits (Tensor): ``(N, C, H, W)``, C >= 2.
        colors (Tensor): ``(N, 3, H, W)`` in CIELAB.
        inside (Tensor): ``(N, H, W)`` bool, pixels in a box.
        valid (Tensor): ``(N, H, W)`` bool, pixels that are no padding.
        similarity_thr (float): Similarity, ``exp(-distance / 2)``, from which
            colors are similar. Defaults to 0.3, as in BoxInst.
        dilation (int): Distance of neighbors, in pixels along each axis.
            Defaults to 2, as in BoxInst.

    Returns:
        Tensor: A scalar, the mean over the pairs that count (of all ranks).
    """
    log_probs = logits.log_softmax(dim=1)
    total, count = logits.sum() * 0., logits.new_zeros(())
    for step in neighbor_steps(dilation):
        first, second = pair(log_probs, step)
        same = (first + second).logsumexp(dim=1)
        counts = _counts(colors, inside, valid, step, similarity_thr)
        total = total - torch.where(counts, same, 0.).sum()
        count = count + counts.sum()
    return ratio_over_ranks(total, count)


def neighbor_steps(dilation: int) -> Tuple[Tuple[int, int], ...]:
    """Steps (down, right) to half of the 8 neighbors: each pair once."""
    return ((0, dilation), (dilation, 0), (dilation, dilation), (dilation,
                                                                 -dilation))


def pair(maps: Tensor, step: Tuple[int, int]) -> Tuple[Tensor, Tensor]:
    """The maps at each pixel and at its neighbor, where both exist.

    Args:
        maps (Tensor): ``(..., H, W)``.
        step (tuple[int, int]): Rows down (>= 0) and columns to the right.

    Returns:
        tuple[Tensor, Tensor]: Two views ``(..., H', W')``.
    """
    down, right = step
    height, width = maps.shape[-2:]
    rows, columns = max(0, height - down), max(0, width - abs(right))
    left, shifted = max(0, -right), max(0, right)
    return (maps[..., :rows, left:left + columns],
            maps[..., down:down + rows, shifted:shifted + columns])


@torch.no_grad()
def _counts(colors: Tensor, inside: Tensor, valid: Tensor,
            step: Tuple[int, int], similarity_thr: float) -> Tensor:
    """``(N, H', W')`` bool: the pairs that count."""
    first, second = pair(colors, step)
    distance = (first - second).square().sum(dim=1).sqrt()
    similar = (-distance / COLOR_SCALE).exp() >= similarity_thr
    one_inside = torch.logical_or(*pair(inside, step))
    both_valid = torch.logical_and(*pair(valid, step))
    return similar & one_inside & both_valid
