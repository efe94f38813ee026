# Copyright (c) mmbombo contributors.
from typing import TYPE_CHECKING, Dict, List, Tuple

import torch
from mmdet.utils import ConfigType, InstanceList
from mmengine.structures import InstanceData
from torch import Tensor

from mmbombo.models.context import StepContext
from mmbombo.models.task_heads import ProposalTaskHead
from mmbombo.models.task_modules import Seeds
from mmbombo.registry import MODELS, TASK_UTILS
from mmbombo.structures.image_labels import IMAGE_LABEL, PRESENT
from mmbombo.utils import UserError
from .base_weak_loss import BaseWeakLoss

if TYPE_CHECKING:
    from mmbombo.models.detectors import MultiTaskDetector


@MODELS.register_module()
class TagForProposalLoss(BaseWeakLoss):
    """Seeds among the proposals of images with tags teach the head of these.

    A map of each tag says which proposals stand out, see
    :class:`SaliencyGuidedSeedSelector`; they teach :class:`ProposalTaskHead`
    where the class is and what is salient. Our reconstruction of Lai and Gong,
    "Saliency Guided End-to-End Learning for Weakly Supervised Object
    Detection", IJCAI 2017.

    Args:
        maps (dict): Config of the maps: :class:`CAMMaps`,
            :class:`GuidedMaps`, :class:`MaskMaps`, or another
            :class:`ClassMaps` in ``TASK_UTILS``.
        selector (dict): Config of the selector.
        head (str): Name of the head. Defaults to 'proposals'.
        **kwargs: Arguments of :class:`BaseWeakLoss`.
    """

    name = 't4p'
    task = 'det'
    source_kind = IMAGE_LABEL
    predictor = 'self'

    def __init__(self,
                 maps: ConfigType,
                 selector: ConfigType = dict(
                     type='SaliencyGuidedSeedSelector'),
                 head: str = 'proposals',
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.maps = TASK_UTILS.build(maps)
        self.selector = TASK_UTILS.build(selector)
        self.head = head

    def check_model(self, model: 'MultiTaskDetector') -> None:
        """Raise ``UserError`` if a head that it names is not there."""
        super().check_model(model)
        if not isinstance(model.head(self.head), ProposalTaskHead):
            raise UserError(
                f"TagForProposalLoss teaches the head '{self.head}', which "
                'must be a ProposalTaskHead')
        self.maps.check_model(model)

    def images(self, ctx: StepContext) -> List[int]:
        """Images with tags."""
        return ctx.with_kind(self.source_kind)

    def head_images(self, ctx: StepContext) -> Dict[str, List[int]]:
        """The head that learns, and what the maps are made of."""
        images = self.images(ctx)
        return {name: images for name in (self.head, *self.maps.heads)}

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """The head's losses of seeds, and the share of tags with a seed."""
        seeds = self.seeds(ctx, images)
        tags = sum((ctx.samples[i].gt_image_label.label == PRESENT).sum()
                   for i in images)
        count = sum(len(x.inds) for x in seeds)
        return dict(
            ctx.loss(self.task, seeds, images, head=self.head),
            seeded=count / tags.float().clamp(min=1))

    @torch.no_grad()
    def seeds(self, ctx: StepContext, images: List[int]) -> List[Seeds]:
        """The seeds of n images among the proposals that the head looks at."""
        outputs = ctx.outputs(self.head, images)
        return [
            self.selector(x.boxes, found, ctx.samples[i].gt_image_label.label)
            for x, found, i in zip(outputs, self.maps(ctx, images), images)
        ]

    def pseudo_boxes(self, ctx: StepContext,
                     images: List[int]) -> Tuple[InstanceList, None]:
        """The seeds as ``bboxes`` and ``labels``; nothing is ignored."""
        seeds = self.seeds(ctx, images)
        return [InstanceData(bboxes=x.boxes, labels=x.labels)
                for x in seeds], None
