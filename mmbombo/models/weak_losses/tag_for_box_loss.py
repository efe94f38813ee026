# Copyright (c) mmbombo contributors.
from typing import TYPE_CHECKING, Dict, List, Tuple

import torch
import torch.nn.functional as F
from mmdet.utils import ConfigType, InstanceList
from mmengine.structures import InstanceData
from torch import Tensor

from mmbombo.models.context import StepContext
from mmbombo.models.task_heads.ignore_regions import IgnoreRegions
from mmbombo.registry import MODELS, TASK_UTILS
from mmbombo.structures.image_labels import (ABSENT, IMAGE_LABEL, PRESENT,
                                             UNKNOWN)
from mmbombo.utils import UserError
from .base_weak_loss import BaseWeakLoss

if TYPE_CHECKING:
    from mmbombo.models.detectors import MultiTaskDetector


@MODELS.register_module()
class TagForBoxLoss(BaseWeakLoss):
    """Supervise detection on images that have tags only.

    The loss is the detection head's own. Targets are boxes of present classes,
    the seeds; elsewhere these classes are ignored, since a seed is one object
    of many, or none. A class that is absent is a negative everywhere. What no
    tag tells of is ignored. So without a seed an image still teaches what it
    does not show.

    Ours, after `Saliency Guided End-to-End Learning for Weakly Supervised
    Object Detection <https://arxiv.org/abs/1706.06768>`_, whose seeds teach
    the network that made them.

    Args:
        seeds (dict): Config of where the boxes come from:
            :class:`PredictedSeeds` or :class:`ProposalSeeds`.
        ramp (float): Share of the training over which the weight grows from
            0, because the boxes depend on the network. Defaults to 0.1.
        **kwargs: Arguments of :class:`BaseWeakLoss`.
    """

    name = 't4b'
    task = 'det'
    source_kind = IMAGE_LABEL

    def __init__(self, seeds: ConfigType, ramp: float = 0.1, **kwargs) -> None:
        super().__init__(ramp=ramp, **kwargs)
        self.seeds = TASK_UTILS.build(seeds)
        self.predictor = self.seeds.predictor

    def check_model(self, model: 'MultiTaskDetector') -> None:
        """Raise ``UserError`` if no tag names a class of detection."""
        super().check_model(model)
        names, tags = (model.classes.get(x, ()) for x in ('det', 'cls'))
        if not {*tags} & {*names}:
            raise UserError(
                f'TagForBoxLoss: no tag of {list(tags)} is a class of the '
                f"detection, {list(names)}; the tags are model.classes['cls']")
        self.seeds.check_model(model)
        # of a class without a tag the last column, which is unknown
        tag_of = [tags.index(x) if x in tags else len(tags) for x in names]
        self.register_buffer('tag_of', torch.tensor(tag_of), persistent=False)

    def images(self, ctx: StepContext) -> List[int]:
        """Images with tags, no boxes, and no components of a mask."""
        return [
            i for i in super().images(ctx)
            if 'components' not in ctx.samples[i]
        ]

    def head_images(self, ctx: StepContext) -> Dict[str, List[int]]:
        """The head that is taught, and those that say where."""
        images = self.images(ctx)
        return {**self.seeds.head_images(images), self.task: images}

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """Losses of the detection head, and how many boxes an image has."""
        targets, ignore = self.pseudo_boxes(ctx, images)
        for i, target in zip(images, targets):
            ctx.samples[i].pseudo_instances = target
        mean = sum(len(target) for target in targets) / len(images)
        return dict(
            ctx.loss(self.task, targets, images, ignore),
            boxes_per_image=ctx.inputs.new_full((), mean))

    @torch.no_grad()
    def pseudo_boxes(self, ctx: StepContext,
                     images: List[int]) -> Tuple[InstanceList, IgnoreRegions]:
        """``bboxes`` and ``labels`` of each image, and what to ignore."""
        tags = torch.stack(
            [ctx.samples[i].gt_image_label.label for i in images])
        tags = F.pad(tags, (0, 1), value=UNKNOWN)[:, self.tag_of]
        found = self.seeds(ctx, images, tags == PRESENT)
        # cells of a rounded-up level lie beyond the image
        inf = torch.inf
        everywhere = torch.tensor([-inf, -inf, inf, inf], device=tags.device)
        ignore = IgnoreRegions(
            everywhere.expand(len(images), 1, 4), (tags != ABSENT)[:, None])
        return [with_area(x) for x in found], ignore


def with_area(instances: InstanceData) -> InstanceData:
    """``bboxes`` and ``labels`` of the boxes that are not empty."""
    boxes, labels = instances.bboxes.float(), instances.labels
    kept = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return InstanceData(bboxes=boxes[kept], labels=labels[kept])
