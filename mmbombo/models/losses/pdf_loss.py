# Copyright (c) mmbombo contributors.
"""Distillation weighted by the disagreement of predictions (PDF).

Of PDF-Distil (Zhang et al., BMVC 2021), in the form of MulTaS' released code.
"""
import torch.nn.functional as F
from torch import Tensor

from .dist_mean import full_precision, ratio_over_ranks, weighted_mean


def disagreement(student: Tensor, teacher: Tensor) -> Tensor:
    """How much two heads differ about a cell.

    Args:
        student (Tensor): Class logits ``(N, K, A, C)`` of A anchors a cell.
        teacher (Tensor): Logits of the same shape.

    Returns:
        Tensor: ``(N, K)``, the Euclidean distance of the class scores, mean
        over the anchors; without gradient, since it weighs.
    """
    student, teacher = (
        full_precision(x.detach()).sigmoid() for x in (student, teacher))
    return (student - teacher).square().sum(dim=3).sqrt().mean(dim=2)


def pdf_feature_loss(distance: Tensor, weights: Tensor,
                     valid: Tensor) -> Tensor:
    """Feature distance, weighted by the disagreement.

    The weights sum to 1 over the cells and channels of all images of all
    ranks, those in the padding excepted. Where both heads agree everywhere
    the loss is zero, not 0 / 0.

    Args:
        distance (Tensor): ``(N, K)`` of
            :func:`~mmbombo.models.losses.feature_distance.feature_distance`.
        weights (Tensor): ``(N, K)`` of :func:`disagreement`.
        valid (Tensor): ``(N, K)`` bool, False in the padding.

    Returns:
        Tensor: A scalar.
    """
    return weighted_mean(distance, weights * valid)


def pdf_score_loss(student: Tensor, teacher: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy of class scores, weighted by their squared difference.

    ``sum (q - p)^2 BCE(student, q) / max(1, #(q > 0.5))``; the released code
    does not bound the count, and counts the padding.

    Args:
        student (Tensor): Class logits ``(N, K, A, C)``.
        teacher (Tensor): Logits of the same shape; get no gradient.
        valid (Tensor): ``(N, K)`` bool, False in the padding.

    Returns:
        Tensor: A scalar, over all ranks.
    """
    student = full_precision(student)
    q = full_precision(teacher.detach()).sigmoid()
    bce = F.binary_cross_entropy_with_logits(
        student, q, reduction='none')
    inside = valid[:, :, None, None]
    loss = (student.sigmoid() - q).square() * bce * inside
    return ratio_over_ranks(loss.sum(), ((q > 0.5) & inside).sum())
