# Copyright (c) mmbombo contributors.
import torch
import torch.nn.functional as F
from torch import Tensor

from .dist_mean import full_precision, weighted_mean


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
