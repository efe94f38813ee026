# Copyright (c) mmbombo contributors.
import torch.nn.functional as F
from mmdet.models.losses.balanced_l1_loss import balanced_l1_loss
from torch import Tensor

from .dist_mean import full_precision


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
