# Copyright (c) mmbombo contributors.
"""Accuracy of segmentation maps near boundaries."""
import math
from typing import Dict, List, Sequence

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmbombo.registry import METRICS
from mmbombo.structures import IGNORE_INDEX


@METRICS.register_module()
class TrimapAccuracyMetric(BaseMetric):
    """Share of the pixels near true boundaries that have the right class.

    A pixel is within d of a boundary if the center of a labeled pixel of
    another class is at most d pixels from its own, in a straight line: within
    1 are the two pixels on both sides of an edge. Pixels without a label (255)
    count nowhere, and are no class that others could be near to.

    After the trimaps of `Robust Higher Order Potentials for Enforcing Label
    Consistency <https://doi.org/10.1007/s11263-008-0202-0>`_. Works for
    whatever predicts ``pred_sem_seg``.

    Args:
        widths (Sequence[float]): Distances d in pixels. Defaults to
            ``(1, 2, 4)``.
        **kwargs: Arguments of :class:`mmengine.BaseMetric`.
    """

    def __init__(self, widths: Sequence[float] = (1, 2, 4), **kwargs) -> None:
        super().__init__(**kwargs)
        self.widths = sorted(widths)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of ``pred_sem_seg`` and ``gt_sem_seg``, each with
        ``data`` of shape (1, H, W)."""
        squares = torch.tensor(self.widths, dtype=torch.double)**2
        for sample in data_samples:
            pred = sample['pred_sem_seg']['data'].squeeze(0)
            truth = sample['gt_sem_seg']['data'].squeeze(0).to(pred)
            distances = squared_boundary_distance(truth, self.widths[-1])
            band = torch.bucketize(distances.double(), squares.to(pred.device))
            counts = torch.bincount(
                (2 * band + (pred == truth)).flatten(),
                minlength=2 * len(squares) + 2)
            self.results.append(counts.view(-1, 2)[:-1].cpu())

    def compute_metrics(self, results: List[Tensor]) -> Dict[str, float]:
        """Compute the shares from wrong and right pixels ``(widths, 2)`` of
        each image, by the width of the narrowest band that they are in.

        Returns:
            dict[str, float]: ``trimap_<width>``, percentages (0-100), NaN
            without a boundary.
        """
        counts = sum(results).cumsum(0).double()
        shares = 100 * counts[:, 1] / counts.sum(1)
        return {
            f'trimap_{width:g}': float(share)
            for width, share in zip(self.widths, shares)
        }


def squared_boundary_distance(ids: Tensor, limit: float) -> Tensor:
    """Squared distance to the nearest pixel of another class.

    Args:
        ids (Tensor): ``(H, W)``, 255 without a label.
        limit (float): How far is looked.

    Returns:
        Tensor: ``(H, W)`` int64, a large number beyond the limit and without
        a label.
    """
    nearest = torch.full_like(ids, 2**31 - 1, dtype=torch.long)
    reach = math.floor(limit)
    height, width = ids.shape
    for dy in range(min(reach, height - 1) + 1):
        for dx in range(-min(reach, width - 1), min(reach, width - 1) + 1):
            square = dy * dy + dx * dx
            # of each pair of pixels once
            if square > limit * limit or (dy == 0 and dx <= 0):
                continue
            upper = slice(0,
                          height - dy), slice(max(0, -dx), width - max(0, dx))
            lower = slice(dy, height), slice(max(0, dx), width - max(0, -dx))
            one, other = ids[upper], ids[lower]
            differ = (one != other) & (one != IGNORE_INDEX) & (
                other != IGNORE_INDEX)
            for part in (upper, lower):
                nearest[part] = nearest[part].where(
                    ~differ, nearest[part].clamp(max=square))
    return nearest
