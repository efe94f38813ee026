# Copyright (c) mmbombo contributors.
import torch.nn.functional as F
from torch import Tensor

from .dist_mean import full_precision


def temperature_kl(student: Tensor,
                   teacher: Tensor,
                   temperature: float = 1.,
                   dim: int = 1) -> Tensor:
    """Divergence of softened distributions.

    ``t^2 * KL(softmax(teacher / t) || softmax(student / t))`` of `Distilling
    the Knowledge in a Neural Network <https://arxiv.org/abs/1503.02531>`_,
    summed over the classes. mmdet's ``KnowledgeDistillationKLDivLoss`` is the
    mean over them, which makes the loss weaker the more classes there are.

    Args:
        student (Tensor): Logits.
        teacher (Tensor): Logits of the same shape; get no gradient.
        temperature (float): t > 0. Defaults to 1.
        dim (int): Dimension of the classes. Defaults to 1.

    Returns:
        Tensor: Divergences >= 0, the shape without ``dim``; zero where the
        two are equal.
    """
    log_p = F.log_softmax(full_precision(student) / temperature, dim)
    log_q = F.log_softmax(
        full_precision(teacher.detach()) / temperature, dim)
    return (log_q.exp() * (log_q - log_p)).sum(dim) * temperature**2
