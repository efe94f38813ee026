# Copyright (c) mmbombo contributors.
"""Affinities of the cells of a map, of one task and across tasks.

`Leveraging Auxiliary Tasks with Affinity Learning for Weakly Supervised
Semantic Segmentation <https://arxiv.org/abs/2107.11787>`_ (AuxSegNet), its
section "Cross-task affinity learning", and its published code.
"""
from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbombo.models.losses.dist_mean import full_precision


class TaskAffinity(nn.Module):
    """Which other cells of a map a cell is like, in the eyes of a task.

    The softmax over v of :math:`\\theta(F)_u \\cdot \\phi(F)_v`, without the
    root of the number of channels under it.

    Args:
        in_channels (int): Channels of the map.
        channels (int): Channels of :math:`\\theta` and :math:`\\phi`, 1x1
            convolutions with a bias.
        max_cells (int, optional): Larger maps are averaged until they have so
            few cells: a map of 128x128 cells, of an image of 1,024 pixels,
            has an affinity of 1.07 GB. Defaults to None, never. Not of the
            paper.
    """

    def __init__(self,
                 in_channels: int,
                 channels: int,
                 max_cells: Optional[int] = None) -> None:
        super().__init__()
        self.theta = nn.Conv2d(in_channels, channels, 1)
        self.phi = nn.Conv2d(in_channels, channels, 1)
        self.max_cells = max_cells

    def forward(self, feat: Tensor, valid: Optional[Tensor] = None) -> Tensor:
        """The affinity of a map's cells, row by row.

        Args:
            feat (Tensor): ``(N, C, H, W)``.
            valid (Tensor, optional): ``(N, H, W)`` bool, the cells that others
                may be like: not the padding of a batch. Defaults to None, all.

        Returns:
            Tensor: ``(N, HW, HW)``, whose rows sum to 1; fewer with
            ``max_cells``, see :func:`affinity_grid`.
        """
        grid = affinity_grid(feat.shape[-2:], self.max_cells)
        if grid != tuple(feat.shape[-2:]):
            feat = F.adaptive_avg_pool2d(feat, grid)
        theta, phi = (
            full_precision(layer(feat)).flatten(2)
            for layer in (self.theta, self.phi))
        # sums of so many channels are too large for half precision
        with torch.autocast(feat.device.type, enabled=False):
            scores = theta.mT @ phi
        if valid is not None:
            valid = F.adaptive_max_pool2d(valid[:, None].to(scores), grid) > 0
            valid = valid.flatten(1)
            valid = valid | ~valid.any(1, keepdim=True)
            scores = scores.masked_fill(~valid[:, None], -torch.inf)
        return scores.softmax(dim=2)


class CrossTaskAffinity(nn.Module):
    """One affinity of those of several tasks.

    They are the channels of an image, of which two convolutions and a softmax
    over the channels make weights: the result is a mean of the tasks' entries,
    so that its rows sum only about to 1. 42 parameters for two tasks.

    Args:
        num_tasks (int): Number of affinities, T.
    """

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Conv2d(num_tasks, num_tasks, 3, padding=1, bias=False),
            nn.ReLU(inplace=True), nn.Conv2d(num_tasks, num_tasks, 1))

    def forward(self, affinities: Sequence[Tensor]) -> Tensor:
        """``(N, M, M)`` of T affinities ``(N, M, M)``."""
        # with the channels side by side a quarter of the time, on a CPU
        stacked = torch.stack(list(affinities), dim=-1).movedim(-1, 1)
        return (self.weigh(stacked).softmax(dim=1) * stacked).sum(dim=1)


def affinity_grid(size: Sequence[int],
                  max_cells: Optional[int]) -> Tuple[int, ...]:
    """Height and width of a map, divided until it has few enough cells."""
    grid, factor = tuple(size), 1
    while max_cells and grid[0] * grid[1] > max_cells:
        factor += 1
        grid = tuple(-(-x // factor) for x in size)
    return grid


def propagate(values: Tensor,
              affinity: Tensor,
              transpose: bool = False) -> Tensor:
    """Give each cell the mean of the values of the cells that it is like.

    An affinity of fewer cells than the map has (``max_cells``) moves the means
    of its cells; what a value differs from them is added again.

    Args:
        values (Tensor): ``(N, K, H, W)``.
        affinity (Tensor): ``(N, M, M)``, see :class:`TaskAffinity`.
        transpose (bool): Whether cells give by their rows instead of taking.
            Defaults to False, the published code; the paper transposes.

    Returns:
        Tensor: ``(N, K, H, W)``.
    """
    size = tuple(values.shape[-2:])
    grid = affinity_grid(size, affinity.size(-1))
    small = values
    if grid != size:
        small = F.adaptive_avg_pool2d(values, grid)
    if not transpose:
        affinity = affinity.mT  # values come as rows
    moved = (small.flatten(2).to(affinity) @ affinity).view_as(small)
    if grid == size:
        return moved
    change = F.interpolate(moved - small, size, mode='bilinear')
    return values + change
