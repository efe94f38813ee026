# Copyright (c) mmbombo contributors.
from typing import Dict, List

from torch import Tensor

from mmbombo.models.context import StepContext
from mmbombo.registry import MODELS
from mmbombo.structures import BBOX
from mmbombo.structures.candidate_map import CandidateMap
from .base_weak_loss import BaseWeakLoss


@MODELS.register_module()
class BoxForMaskLoss(BaseWeakLoss):
    """Box-for-Mask: supervise segmentation on images that have boxes only.

    A pseudo mask says which classes are possible at each pixel. It is made
    from the boxes (and the image) in the data loader's workers by the
    transform ``LoadPseudoMask``, which also says how. The loss is the
    segmentation head's own loss on that mask: a cross-entropy where one class
    is left, and where several are, the negative logarithm of their summed
    probability.

    The idea is from `Box for Mask and Mask for Box
    <https://arxiv.org/abs/2411.17536>`_; that the same cross-entropy is used
    is known from its reviews, everything else is our reconstruction.

    The defaults were set before our ablation, which bears them out. A
    ``stride`` of 2 was as good as one of 1. The figures are in
    ``docs/en/user_guides/weak_losses.md``, and for all runs in
    ``docs/en/notes/ablation.md``.

    Args:
        stride (int): The loss is of every so many rows and columns of the
            masks, to whose size the logits are brought. Defaults to 1.
        **kwargs: Arguments of :class:`BaseWeakLoss`.
    """

    name = 'b4m'
    task = 'seg'
    source_kind = BBOX
    labels_pixels = True
    required_fields = dict(
        pseudo_sem_seg='has boxes and no mask, but also no pseudo mask for '
        "BoxForMaskLoss: add dict(type='LoadPseudoMask', ...) after "
        'LoadPartialAnnotations to the pipeline of this source')

    def __init__(self, stride: int = 1, **kwargs) -> None:
        super().__init__(**kwargs)
        self.stride = stride

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """Losses of the segmentation head."""
        masks = self.pseudo_masks(ctx, images)
        ctx.pseudo_labels[self.task].update(
            zip(images, masks.single_classes()))
        return ctx.loss(self.task, masks.every(self.stride), images)

    def pseudo_masks(self, ctx: StepContext,
                     images: List[int]) -> CandidateMap:
        """The masks of n images."""
        samples = [ctx.samples[i] for i in images]
        for sample in samples:
            self.check_sample(sample)
        return CandidateMap.from_samples(samples, len(ctx.classes[self.task]))
