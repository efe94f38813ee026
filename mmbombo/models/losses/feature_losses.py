# Copyright (c) mmbombo contributors.
"""Distances of features and scores, for distillation.

``disagreement`` and ``pdf_score_loss`` are of PDF-Distil (Zhang et al., BMVC
2021), in the form of MulTaS' released code.
"""
from typing import Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .dist_mean import full_precision, ratio_over_ranks, weighted_mean


def feature_distance(student: Sequence[Tensor],
                     teacher: Sequence[Tensor]) -> Tensor:
    """Squared distance of feature maps ``(N, C_l, H_l, W_l)``, mean over the
    channels: ``(N, K)``, cells level by level and row by row."""
    return torch.cat(
        [(full_precision(s) -
          full_precision(t.detach())).square().mean(dim=1).flatten(1)
         for s, t in zip(student, teacher)],
        dim=1)


def defeat_loss(distance: Tensor, foreground: Tensor,
                valid: Tensor) -> Tuple[Tensor, Tensor]:
    """Feature distance ``(N, K)`` of objects and of background, apart: two
    scalars, zero without such valid cells.

    `DeFeat <https://arxiv.org/abs/2103.14475>`_ gives objects, which cover few
    cells, as much weight as the background: half the mean distance over the
    cells of each. In MulTaS' released code the sums run over the channels but
    the normalizer does not, and the result is divided by the batch size after
    the cells of the batch have been counted already; here both are means, so
    that neither channels nor batch size change the weight, and an equal
    distance everywhere gives its mean.
    """
    return (weighted_mean(distance, foreground & valid) / 2,
            weighted_mean(distance, ~foreground & valid) / 2)


def disagreement(student: Tensor, teacher: Tensor) -> Tensor:
    """How much two heads' class logits ``(N, K, A, C)`` differ about a cell.

    ``(N, K)``, the Euclidean distance of the class scores, mean over the A
    anchors; without gradient, since it weighs.
    """
    student, teacher = (
        full_precision(x.detach()).sigmoid() for x in (student, teacher))
    return (student - teacher).square().sum(dim=3).sqrt().mean(dim=2)


def pdf_score_loss(student: Tensor, teacher: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy of class logits ``(N, K, A, C)`` of valid cells
    ``(N, K)``, weighted by the squared difference of the scores, over all
    ranks.

    ``sum (q - p)^2 BCE(student, q) / max(1, #(q > 0.5))``; the released code
    does not bound the count, and counts the padding.
    """
    student = full_precision(student)
    q = full_precision(teacher.detach()).sigmoid()
    bce = F.binary_cross_entropy_with_logits(student, q, reduction='none')
    inside = valid[:, :, None, None]
    loss = (student.sigmoid() - q).square() * bce * inside
    return ratio_over_ranks(loss.sum(), ((q > 0.5) & inside).sum())
