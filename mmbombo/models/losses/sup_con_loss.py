# Copyright (c) mmbombo contributors.
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbombo.registry import MODELS
from .dist_mean import full_precision


@MODELS.register_module()
class SupConLoss(nn.Module):
    """The loss of `Supervised Contrastive Learning
    <https://arxiv.org/abs/2004.11362>`_ (equation 2), one view per image.

    An image's loss is the mean over the others of its class of minus the log
    of the softmax, over all others, of the cosines divided by the temperature.
    It is 0 for an image that is alone in its class; the mean is over all
    images of this rank, as in `Revisiting Locally Supervised Learning
    <https://arxiv.org/abs/2101.10832>`_.

    Args:
        temperature (float): Defaults to 0.07.
        loss_weight (float): Defaults to 1.
    """

    def __init__(self,
                 temperature: float = 0.07,
                 loss_weight: float = 1.) -> None:
        super().__init__()
        self.temperature = temperature
        self.loss_weight = loss_weight

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """The loss, a scalar, of features ``(N, D)`` of any length, with the
        classes ``(N, )``."""
        features = F.normalize(full_precision(features), dim=1)
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        cosines = features @ features.T
        # no other that could be compared with: not minus infinity
        logits = (cosines / self.temperature).masked_fill(itself, -1e4)
        positive = (labels[:, None] == labels) & ~itself
        log_p = F.log_softmax(logits, 1) * positive
        losses = -log_p.sum(1) / positive.sum(1).clamp(min=1)
        return self.loss_weight * losses.sum() / max(len(labels), 1)
