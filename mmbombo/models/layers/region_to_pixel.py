# Copyright (c) mmbombo contributors.
"""Scores of regions as scores of pixels.

`Region-based Semantic Segmentation with End-to-End Training
<https://arxiv.org/abs/1607.07671>`_ (E2S2), and its published code.
"""
import torch
import torch.nn.functional as F
from torch import Tensor

from mmbombo.models.losses.dist_mean import full_precision


def region_to_superpixel(scores: Tensor,
                         pairs: Tensor,
                         num_superpixels: int,
                         decay: float = 0.) -> Tensor:
    """Give each superpixel the best score of the regions that contain it.

    Class by class; the gradient goes to the best region, to the first of
    several. Regions that form a tree need no other path: going down its levels
    takes as long as this or several times longer, by its depth.

    Args:
        scores (Tensor): ``(R, C)`` of R regions.
        pairs (Tensor): ``(2, K)`` int64, which region (row 0, ascending)
            contains which superpixel (row 1), each pair once.
        num_superpixels (int): Number of superpixels, S.
        decay (float): The n-th best score counts ``decay ** (n - 1)`` in a
            weighted mean: 0 is the maximum, 1 the mean. Defaults to 0.

    Returns:
        Tensor: ``(S + 1, C)``. The last row is of pixels without a superpixel;
        like superpixels that no region contains they have the minimum of all
        others, 0 without others, and give no gradient.
    """
    scores = full_precision(scores)
    region, superpixel = pairs[:, pairs[1].argsort(stable=True)]
    counts = torch.bincount(superpixel, minlength=num_superpixels + 1)
    if pairs.size(1) == 0:
        values = scores.new_zeros(len(counts), scores.size(1)) + scores.sum()
    elif decay == 0:
        values = F.embedding_bag(
            region, scores, counts.cumsum(0) - counts, mode='max')
    else:
        values = _rank_weighted(scores, region, superpixel, counts, decay)
    covered = (counts > 0)[:, None]
    lowest = values.detach().masked_fill(~covered, torch.inf).min()
    lowest = torch.where(covered.any(), lowest, 0.)
    return torch.where(covered, values, lowest)


def _rank_weighted(scores: Tensor, region: Tensor, superpixel: Tensor,
                   counts: Tensor, decay: float) -> Tensor:
    """Means over the regions of superpixels, by rank; pairs are in order of
    the superpixels, whose numbers of pairs are ``counts``."""
    ranks = scores.detach().T.argsort(dim=1, descending=True, stable=True)
    keys = superpixel * len(scores) + ranks.argsort(dim=1)[:, region]
    order = keys.argsort(dim=1).T
    starts = counts.cumsum(0) - counts
    place = torch.arange(len(region), device=region.device)
    weights = decay**(place - starts[superpixel]).to(scores)
    values = scores.gather(0, region[order]) * weights[:, None]
    sums = scores.new_zeros(len(counts), 1 + scores.size(1)).index_add(
        0, superpixel, torch.cat([weights[:, None], values], dim=1))
    return sums[:, 1:] / sums[:, :1]


def paint_superpixels(values: Tensor, superpixels: Tensor) -> Tensor:
    """Give each pixel the values of its superpixel.

    Args:
        values (Tensor): ``(S + 1, C)``, those of pixels without a superpixel
            last.
        superpixels (Tensor): ``(H, W)`` int64, numbers from 0, or -1.

    Returns:
        Tensor: ``(C, H, W)``.
    """
    index = superpixels.remainder(len(values))  # -1 is the last one
    return F.embedding(index, values).permute(2, 0, 1)
