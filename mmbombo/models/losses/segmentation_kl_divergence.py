# Copyright (c) mmbombo contributors.
import torch
import torch.nn.functional as F
from torch import Tensor

from .dist_mean import weighted_mean
from .temperature_kl import temperature_kl


def segmentation_kl(student: Tensor,
                    teacher: Tensor,
                    valid: Tensor,
                    temperature: float = 1.) -> Tensor:
    """Divergence of class distributions, mean over the pixels of the images.

    Our reconstruction: the released code of MulTaS computes a divergence of
    raw logits and never uses it.

    Args:
        student (Tensor): Logits ``(N, C, h, w)``; with C = 1, the logit of
            the foreground.
        teacher (Tensor): Logits ``(N, C, h', w')``, resized to the student's
            map; get no gradient.
        valid (Tensor): ``(N, h, w)`` bool, False in the padding.
        temperature (float): See :func:`temperature_kl`. Defaults to 1.

    Returns:
        Tensor: A scalar, the mean over all ranks.
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
    return weighted_mean(
        temperature_kl(student, teacher, temperature), valid)
