# Copyright (c) mmbombo contributors.
"""Distances of what a student and its teacher say.

``disagreement`` and ``pdf_score_loss`` are of PDF-Distil (Zhang et al., BMVC
2021), in the form of MulTaS' released code.
"""
from typing import Sequence, Tuple

import torch
import torch.nn.functional as F
from mmdet.models.losses.balanced_l1_loss import balanced_l1_loss
from torch import Tensor

from .dist_mean import full_precision, ratio_over_ranks, weighted_mean


def temperature_kl(student: Tensor,
                   teacher: Tensor,
                   temperature: float = 1.,
                   dim: int = 1) -> Tensor:
    """Divergence of softened distributions along ``dim``, >= 0, without a
    gradient for the teacher.

    ``t^2 * KL(softmax(teacher / t) || softmax(student / t))`` of `Distilling
    the Knowledge in a Neural Network <https://arxiv.org/abs/1503.02531>`_,
    summed over the classes. mmdet's ``KnowledgeDistillationKLDivLoss`` is the
    mean over them, which makes the loss weaker the more classes there are.
    """
    log_p = F.log_softmax(full_precision(student) / temperature, dim)
    log_q = F.log_softmax(full_precision(teacher.detach()) / temperature, dim)
    return (log_q.exp() * (log_q - log_p)).sum(dim) * temperature**2


def segmentation_kl(student: Tensor,
                    teacher: Tensor,
                    valid: Tensor,
                    temperature: float = 1.) -> Tensor:
    """Divergence of class distributions, mean over the pixels of all ranks.

    Our reconstruction: the released code of MulTaS computes a divergence of
    raw logits and never uses it.

    Both have logits ``(N, C, h, w)``, with C = 1 that of the foreground; the
    teacher's are resized to the student's map and get no gradient. ``valid``
    ``(N, h, w)`` is False in the padding.
    """
    teacher = teacher.detach()
    if teacher.shape[2:] != student.shape[2:]:
        teacher = F.interpolate(
            teacher,
            size=student.shape[2:],
            mode='bilinear',
            align_corners=False)
    if student.shape[1] == 1:
        # softmax of (0, z) is the sigmoid of z
        student, teacher = (
            torch.cat([torch.zeros_like(x), x], dim=1)
            for x in (student, teacher))
    return weighted_mean(temperature_kl(student, teacher, temperature), valid)


def soft_score_loss(student: Tensor,
                    teacher: Tensor,
                    alpha: float = 0.25,
                    gamma: float = 1.) -> Tensor:
    """Focal-weighted divergence of class logits, >= 0, of the same shape; the
    teacher's get no gradient.

    With q and p the scores (sigmoids of the logits) of teacher and student,
    the released code of MulTaS has ``w * BCE(student, q)`` with the focal
    weight ``w = (alpha q + (1 - alpha)(1 - q)) ((1 - p) q + p (1 - q))^gamma``
    of a soft target. Since w depends on p too, that loss is neither zero nor
    least at p = q. Here the entropy of q is subtracted from the cross-entropy,
    ``w * KL(q || p)``, which is both.
    """
    student = full_precision(student)
    teacher = full_precision(teacher.detach())
    p, q = student.sigmoid(), teacher.sigmoid()
    side = alpha * q + (1 - alpha) * (1 - q)
    disagreement = (1 - p) * q + p * (1 - q)
    return side * disagreement**gamma * binary_kl(student, teacher)


def binary_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """``KL(q || p)`` of Bernoulli distributions given by their logits."""
    q = teacher.sigmoid()
    yes = F.logsigmoid(teacher) - F.logsigmoid(student)
    no = F.logsigmoid(-teacher) - F.logsigmoid(-student)
    return q * yes + (1 - q) * no


def soft_offset_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Balanced L1 distance of box offsets, as in the code of MulTaS."""
    return balanced_l1_loss(
        full_precision(student),
        full_precision(teacher.detach()),
        beta=0.11,
        alpha=0.5,
        gamma=1.5,
        reduction='none')


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
