# Copyright (c) mmbombo contributors.
from typing import Dict, List

import torch
from torch import Tensor

from mmbombo.models.context import StepContext
from mmbombo.models.losses.dist_mean import full_precision
from mmbombo.models.losses.projection_loss import projection_loss
from mmbombo.models.utils import valid_cells
from mmbombo.registry import MODELS
from mmbombo.structures import BBOX, IGNORE_INDEX
from mmbombo.structures.candidate_map import CandidateMap
from mmbombo.weak_labels import covered_pixels
from .base_weak_loss import BaseWeakLoss
from .padded_boxes import PaddedBoxes


@MODELS.register_module()
class BoxProjectionLoss(BaseWeakLoss):
    """Supervise segmentation by what boxes say, without a pseudo mask.

    Each column and each row of a tight box shows its object somewhere, see
    :func:`projection_loss`. Classes are looked at one by one, so boxes of
    different classes may overlap or lie in each other. Of a box that touches
    the left or right border of the image only the columns are used, of one
    that touches the top or bottom only the rows: its object may go on
    outside, and what would have filled a row may have been cut off. Difficult
    boxes say nothing.

    Besides, what is in no box shows one of the classes that no box marks; it
    is trained with the head's own loss. A weak loss on pseudo masks says so
    too; use ``outside=False`` beside one.

    Our reconstruction: that the paper has such a loss is not known. In our
    ablation it lies between naive training and :class:`BoxForMaskLoss`: worth
    it where no pseudo mask can be made. The figures are in
    ``docs/en/user_guides/weak_losses.md``, and for all runs in
    ``docs/en/notes/ablation.md``.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.
        ramp (float): Share of the training over which the weight grows from
            0. Defaults to 0.
        outside (bool): Whether to train what is in no box. Defaults to True.
        start (float): Share of the training after which the loss begins.
            Defaults to 0.
    """

    name = 'box_projection'
    task = 'seg'
    source_kind = BBOX
    needs_class_map = True

    def __init__(self,
                 loss_weight: float = 1.,
                 ramp: float = 0.,
                 outside: bool = True,
                 start: float = 0.) -> None:
        super().__init__(loss_weight=loss_weight, ramp=ramp, start=start)
        self.outside = outside

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """``loss_projection``, and the head's losses outside the boxes."""
        table = PaddedBoxes.from_samples([ctx.samples[i] for i in images],
                                         ctx.class_map)
        losses = dict(loss_projection=self._projection(ctx, images, table))
        if self.outside and ctx.class_map.outside_ids:
            targets = self._outside(ctx, images, table)
            losses.update(ctx.loss(self.task, targets, images))
        return losses

    def _projection(self, ctx: StepContext, images: List[int],
                    table: PaddedBoxes) -> Tensor:
        logits = full_precision(ctx.logits(self.task, images))
        num_classes = ctx.class_map.num_det_classes
        grid = logits.shape[-2:], ctx.inputs.shape[-2:]
        columns, rows = (
            table.covered(table.one_hot(flags, num_classes), *grid)
            for flags in (table.certain & ~table.cut_along,
                          table.certain & ~table.cut_across))
        shown = ctx.class_map.compatible_on(logits.device).to(logits)
        # AMP would take the product in half precision
        with torch.autocast(logits.device.type, enabled=False):
            probs = torch.einsum('nshw,sd->ndhw', logits.softmax(dim=1), shown)
        return projection_loss(probs, columns, rows)

    @torch.no_grad()
    def _outside(self, ctx: StepContext, images: List[int],
                 table: PaddedBoxes) -> CandidateMap:
        """In no box one of the classes without boxes, elsewhere anything."""
        size = ctx.inputs.shape[-2:]
        in_box = covered_pixels(table.boxes, size)
        in_image = valid_cells(ctx.metas(images), size, size, in_box.device)
        numbers = torch.full_like(in_box, IGNORE_INDEX, dtype=torch.long)
        numbers.masked_fill_(in_image & ~in_box, 0)
        compatible = ctx.class_map.compatible_on(in_box.device)
        outside = (~compatible.any(dim=1)).repeat(len(images), 1, 1)
        for sets, i in zip(outside, images):
            for label in ctx.samples[i].get('incomplete_labels', ()):
                sets[0] |= compatible[:, label]
        return CandidateMap(numbers[:, None], outside)
