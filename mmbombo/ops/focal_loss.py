# Copyright (c) mmbombo contributors.
"""Sigmoid focal loss without compiled operators."""
import torch
from torch import Tensor
from torch.nn import functional as F

from .gradients import fill_gradients


def sigmoid_focal_loss_forward(logits: Tensor, target: Tensor, weight: Tensor,
                               output: Tensor, gamma: float,
                               alpha: float) -> None:
    """Fill ``output`` with the loss of each logit (N, C).

    ``target`` (N, ) is the class of each row, C for none; ``weight`` (C, ), or
    empty, that of a row by its class. ``alpha`` weighs the positives.
    """
    output.copy_(_loss(logits, target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(logits: Tensor, target: Tensor, weight: Tensor,
                                grad_input: Tensor, gamma: float,
                                alpha: float) -> None:
    """Fill ``grad_input`` with the derivative of the summed loss."""
    fill_gradients(
        lambda logits: _loss(logits, target, weight, gamma, alpha).sum(),
        (logits, ), None, (grad_input, ))


def _loss(logits: Tensor, target: Tensor, weight: Tensor, gamma: float,
          alpha: float) -> Tensor:
    positive = target[:, None] == torch.arange(
        logits.size(1), device=logits.device)
    # the log odds against what is true
    wrong = torch.where(positive, -logits, logits)
    loss = wrong.sigmoid().pow(gamma) * F.softplus(wrong)
    loss = loss * torch.where(positive, alpha, 1 - alpha)
    if weight.numel() > 0:
        # a background target is beyond the classes
        loss = loss * weight[target.clamp(max=weight.numel() - 1)][:, None]
    return loss
