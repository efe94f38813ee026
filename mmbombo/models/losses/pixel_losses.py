# Copyright (c) mmbombo contributors.
"""The losses of `E2S2 <https://arxiv.org/abs/1607.07671>`_."""
from typing import Optional, Sequence, Union

import torch
import torch.nn.functional as F
from mmseg.models.losses.utils import get_class_weight
from torch import Tensor, nn

from mmbombo.registry import MODELS
from mmbombo.structures import IGNORE_INDEX
from .dist_mean import full_precision


@MODELS.register_module()
class InverseFrequencyCELoss(nn.Module):
    """Cross-entropy with weights of the classes, divided by the sum of the
    weights of each image's labeled pixels, and averaged over the images.

    :class:`mmseg.CrossEntropyLoss` divides by one sum for all images.

    Args:
        class_weight (Sequence[float] | str, optional): A weight per class, or
            a file of them as MMSegmentation reads it. Defaults to None, equal
            weights or those that :class:`ClassFrequencyHook` computes.
        loss_weight (float): Defaults to 1.
    """

    loss_name = 'loss_ce'

    def __init__(self,
                 class_weight: Union[Sequence[float], str, None] = None,
                 loss_weight: float = 1.) -> None:
        super().__init__()
        weight = get_class_weight(class_weight)
        if weight is not None:
            weight = torch.tensor(weight, dtype=torch.float)
        # no part of a checkpoint: only training needs it
        self.register_buffer('class_weight', weight, persistent=False)
        self.loss_weight = loss_weight

    def forward(self,
                cls_score: Tensor,
                label: Tensor,
                weight: Optional[Tensor] = None,
                ignore_index: int = IGNORE_INDEX) -> Tensor:
        """The loss of logits ``(N, C, H, W)`` with ids and, if wanted, weights
        ``(N, H, W)`` of pixels; an image without a labeled pixel adds 0."""
        cls_score = full_precision(cls_score)
        class_weight = self.class_weight
        if class_weight is None:
            class_weight = cls_score.new_ones(cls_score.size(1))
        losses = F.cross_entropy(
            cls_score, label, ignore_index=ignore_index, reduction='none')
        # the last one is that of pixels without a label
        weights = F.pad(class_weight.to(losses),
                        (0, 1))[label.where(label != ignore_index,
                                            len(class_weight))]
        if weight is not None:
            weights = weights * weight
        losses = (losses * weights).flatten(1).sum(1)
        total = weights.flatten(1).sum(1).clamp(min=1e-9)
        return self.loss_weight * (losses / total).mean()


@MODELS.register_module()
class MaxPixelLoss(nn.Module):
    """Log loss of each class's most probable pixel, which need only know which
    classes an image shows.

    Half of it is the mean over the classes that the image shows, half that
    over the others. These are read from the mask, as it is cropped. Leave
    ``AddGTRegions`` out, which chooses and adds regions by the mask.

    Args:
        loss_weight (float): Defaults to 1.
    """

    loss_name = 'loss_max_pixel'

    def __init__(self, loss_weight: float = 1.) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self,
                cls_score: Tensor,
                label: Tensor,
                weight: None = None,
                ignore_index: int = IGNORE_INDEX) -> Tensor:
        """The loss of logits ``(N, C, H, W)``; of the ids ``(N, H, W)`` only
        which there are counts. An image without any adds 0."""
        probs = full_precision(cls_score).softmax(1).flatten(2).amax(2)
        ids = torch.arange(probs.size(1), device=label.device)
        shown = (label.flatten(1)[:, None] == ids[:, None]).any(2)
        losses = -torch.where(shown, probs, 1 - probs).clamp(min=1e-8).log()
        parts = [(losses * x).sum(1) / x.sum(1).clamp(min=1)
                 for x in (shown, ~shown & shown.any(1, keepdim=True))]
        return self.loss_weight * sum(parts).mean() / 2
