# Copyright (c) mmbombo contributors.
from typing import Dict, List

import torch
from torch import Tensor

from mmbombo.models.detectors.step_context import StepContext
from mmbombo.registry import MODELS
from mmbombo.structures import BBOX
from .base_weak_loss import BaseWeakLoss


@MODELS.register_module()
class BoxForMaskLoss(BaseWeakLoss):
    """Box-for-Mask: supervise segmentation on images that have boxes only.

    The pseudo mask is made from the boxes (and the image) in the data
    loader's workers by the transform ``LoadPseudoMask``, which also says how.
    The loss is the segmentation head's own loss on that mask.

    The idea is from `Box for Mask and Mask for Box
    <https://arxiv.org/abs/2411.17536>`_; that the same cross-entropy is used
    is known from its reviews, everything else is our reconstruction.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.
        ramp (float): Share of the training over which the weight grows from
            0. Defaults to 0: the masks do not depend on the network.
    """

    name = 'b4m'
    task = 'seg'
    source_kind = BBOX

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """Segmentation loss on the pseudo masks.

        Args:
            ctx (StepContext): The current batch.
            images (list[int]): Positions of the images with boxes only.

        Returns:
            dict[str, Tensor]: Losses of the segmentation head.

        Raises:
            KeyError: If a sample carries no pseudo mask.
        """
        samples = [ctx.samples[i] for i in images]
        for sample in samples:
            if 'pseudo_sem_seg' not in sample:
                raise KeyError(
                    f'{sample.get("img_path")} has boxes and no mask, but '
                    "also no pseudo mask for BoxForMaskLoss: add dict(type='"
                    "LoadPseudoMask', ...) after LoadPartialAnnotations to "
                    'the pipeline of this source')
        targets = torch.stack([x.pseudo_sem_seg.sem_seg for x in samples])
        return ctx.loss(self.task, targets, images)
