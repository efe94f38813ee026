# Copyright (c) mmbombo contributors.
from typing import Dict, List, Tuple

import torch
from mmdet.utils import OptConfigType
from torch import Tensor

from mmbombo.models.context import StepContext
from mmbombo.registry import MODELS, TASK_UTILS
from mmbombo.structures import BBOX
from .base_weak_loss import BaseWeakLoss


@MODELS.register_module()
class BoxForMaskLoss(BaseWeakLoss):
    """Box-for-Mask: supervise segmentation on images that have boxes only.

    The pseudo mask is made from the boxes (and the image) in the data
    loader's workers by the transform ``LoadPseudoMask``, which also says how.
    The loss is the segmentation head's own loss on that mask, or on what
    ``mask_refiner`` makes of it.

    The idea is from `Box for Mask and Mask for Box
    <https://arxiv.org/abs/2411.17536>`_; that the same cross-entropy is used
    is known from its reviews, everything else is our reconstruction.

    The defaults were set before our ablation, which bears them out. A
    ``stride`` of 2 was as good as one of 1. The figures are in
    ``docs/en/user_guides/weak_losses.md``, and for all runs in
    ``docs/en/notes/ablation.md``.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.
        ramp (float): Share of the training over which the weight grows from
            0. Defaults to 0: the masks do not depend on the network.
        mask_refiner (dict, optional): Config of what changes the masks with
            the network's predictions, such as :class:`PredictionFilter`.
            Defaults to None.
        stride (int): The loss is of every so many rows and columns of the
            masks, to whose size the logits are brought. Defaults to 1.
        start (float): Share of the training after which the loss begins.
            Defaults to 0.
    """

    name = 'b4m'
    task = 'seg'
    source_kind = BBOX
    required_fields = dict(
        pseudo_sem_seg='has boxes and no mask, but also no pseudo mask for '
        "BoxForMaskLoss: add dict(type='LoadPseudoMask', ...) after "
        'LoadPartialAnnotations to the pipeline of this source')

    def __init__(self,
                 loss_weight: float = 1.,
                 ramp: float = 0.,
                 mask_refiner: OptConfigType = None,
                 stride: int = 1,
                 start: float = 0.) -> None:
        super().__init__(loss_weight=loss_weight, ramp=ramp, start=start)
        self.stride = stride
        self.mask_refiner = None
        if mask_refiner is not None:
            self.mask_refiner = TASK_UTILS.build(mask_refiner)

    @property
    def predictor(self) -> str:
        """str: Who predicts for the masks; 'none' for nobody."""
        return getattr(self.mask_refiner, 'predictor', 'none')

    @property
    def needs_class_map(self) -> bool:
        """bool: Predictions are compared with boxes by their classes."""
        return self.mask_refiner is not None

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """Losses of the segmentation head, and what the refiner counts."""
        masks, counts = self.pseudo_masks(ctx, images)
        # the middle of each cell, or nearest to it
        cells = slice(self.stride // 2, None, self.stride)
        return {
            **ctx.loss(self.task, masks[..., cells, cells], images),
            **counts
        }

    @torch.no_grad()
    def pseudo_masks(self, ctx: StepContext,
                     images: List[int]) -> Tuple[Tensor, Dict[str, Tensor]]:
        """Make the masks of some images.

        Returns:
            tuple: Class ids ``(n, 1, H, W)`` int64, 255 where ignored, and
            what the refiner counts, 0-dim tensors.
        """
        samples = [ctx.samples[i] for i in images]
        for sample in samples:
            self.check_sample(sample)
        masks = torch.stack([x.pseudo_sem_seg.sem_seg for x in samples])
        if self.mask_refiner is None:
            return masks, {}
        return self.mask_refiner(ctx, images, masks)
