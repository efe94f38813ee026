# Copyright (c) mmbombo contributors.
from typing import Tuple

from torch import Tensor


def order_pairs(masks: Tensor, labels: Tensor, ranks: Tensor,
                visible: Tensor) -> Tuple[int, int]:
    """How many overlapping pairs of two classes lie as in the picture.

    The one on top is that whose class is visible at more of the pixels that
    both cover; a pair of which neither is, or both are equally, is not
    counted. A map of classes says nothing of two instances of one class.

    Args:
        masks (Tensor): ``(K, H, W)`` bool.
        labels (Tensor): ``(K,)``.
        ranks (Tensor): ``(K,)``, smaller is on top.
        visible (Tensor): ``(H, W)``, the class at each pixel.

    Returns:
        tuple: How many are right, and how many there are.
    """
    flat = masks.flatten(1).float()
    seen = flat * (labels[:, None] == visible.flatten())
    # pixels of both that show the class of the first
    shows = seen @ flat.T
    above = shows > shows.T
    above &= labels[:, None] != labels
    right = above & (ranks[:, None] < ranks)
    return int(right.sum()), int(above.sum())
