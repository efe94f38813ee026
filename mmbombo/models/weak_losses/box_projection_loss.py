# Copyright (c) mmbombo contributors.
from typing import Dict, List, NamedTuple

import torch
from mmdet.structures import SampleList
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmbombo.models.context import StepContext
from mmbombo.models.losses.dist_mean import full_precision, weighted_mean
from mmbombo.models.utils import covered_cells, grid_points, valid_cells
from mmbombo.registry import MODELS
from mmbombo.structures import BBOX, IGNORE_INDEX, ClassMap
from mmbombo.structures.candidate_map import CandidateMap
from .base_weak_loss import BaseWeakLoss


class PaddedBoxes(NamedTuple):
    """The boxes of N images in K slots, those to be ignored included."""
    #: ``(N, K, 4)`` in input pixels; empty slots are empty boxes
    boxes: Tensor
    labels: Tensor  #: ``(N, K)``, any of an unlisted category
    #: ``(N, K)`` bool: a box that tells where an object of its class is; not a
    #: difficult one, not one of a class that no segmentation class shows, nor
    #: of an unlisted category
    certain: Tensor
    #: ``(N, K)`` bool: the box touches the left or right border of its image,
    #: beyond which its object may go on
    cut_across: Tensor
    cut_along: Tensor  #: ``(N, K)`` bool: the top or bottom border

    @classmethod
    def from_samples(cls, samples: SampleList,
                     class_map: ClassMap) -> 'PaddedBoxes':
        """Collect the boxes of N >= 1 annotated samples."""
        columns = zip(*(_columns(sample) for sample in samples))
        boxes, labels, certain, across, along = (
            pad_sequence(column, batch_first=True) for column in columns)
        shown = class_map.compatible_on(boxes.device).any(dim=0)
        return cls(boxes, labels, certain & shown[labels], across, along)

    def one_hot(self, flags: Tensor, num_classes: int) -> Tensor:
        """Detection classes ``(N, K, D)`` bool of the slots in ``flags``."""
        classes = torch.nn.functional.one_hot(self.labels, num_classes)
        return classes.bool() & flags[..., None]

    def covered(self, classes: Tensor, size: torch.Size,
                image_size: torch.Size) -> Tensor:
        """Where boxes of each class ``(N, K, D)`` are, on a coarser grid:
        ``(N, D, h, w)`` bool. A cell is covered if its center is. Sizes are
        (height, width), in cells and in pixels."""
        ys, xs = grid_points(size, image_size, self.boxes.device)
        return covered_cells(self.boxes, classes, xs, ys)


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
        outside (bool): Whether to train what is in no box. Defaults to True.
        **kwargs: Arguments of :class:`BaseWeakLoss`.
    """

    name = 'box_projection'
    task = 'seg'
    source_kind = BBOX
    needs_class_map = True

    def __init__(self, outside: bool = True, **kwargs) -> None:
        super().__init__(**kwargs)
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
        any_class = torch.ones_like(table.certain)[..., None]
        in_box = table.covered(any_class, size, size)[:, 0]
        in_image = valid_cells(ctx.metas(images), size, size, in_box.device)
        numbers = torch.full_like(in_box, IGNORE_INDEX, dtype=torch.long)
        numbers.masked_fill_(in_image & ~in_box, 0)
        compatible = ctx.class_map.compatible_on(in_box.device)
        outside = (~compatible.any(dim=1)).repeat(len(images), 1, 1)
        for sets, i in zip(outside, images):
            for label in ctx.samples[i].get('incomplete_labels', ()):
                sets[0] |= compatible[:, label]
        return CandidateMap(numbers[:, None], outside)


def _columns(sample) -> tuple:
    """Boxes, labels, whether they are certain, and cut, of one image."""
    parts = [sample.gt_instances, sample.ignored_instances]
    if 'unlisted_instances' in sample:
        parts.append(sample.unlisted_instances)
    boxes = torch.cat([part.bboxes for part in parts])
    # no class has the label of what is left out
    labels = torch.cat([part.labels for part in parts]).clamp(min=0)
    is_certain = torch.cat([
        torch.full_like(part.labels, part is parts[0], dtype=torch.bool)
        for part in parts
    ])
    height, width = sample.img_shape[:2]
    x1, y1, x2, y2 = boxes.unbind(dim=1)
    # augmentation cuts boxes at the border exactly, up to rounding
    across = (x1 < 0.5) | (x2 > width - 0.5)
    along = (y1 < 0.5) | (y2 > height - 0.5)
    return boxes, labels, is_certain, across, along


def projection_loss(probs: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Dice loss between projections of class probabilities ``(N, D, H, W)``
    and of boxes: bool maps of the same shape, the union of the boxes of a
    class that have its object in each column, or in each row.

    A tight box has a pixel of its object in each of its columns and rows. So
    the largest probability of the class along each of them should be one, as
    in BoxInst (Tian et al., CVPR 2021, section 3.1), with the union of the
    boxes of a class in place of an instance's box. The mean is over the images
    and classes that have a box, on all ranks.

    What is outside the union is not looked at; that it shows another class is
    for a loss on certain pixels to say.
    """
    along_columns = _dice(probs, columns, dim=2)
    along_rows = _dice(probs, rows, dim=3)
    return along_columns + along_rows


def _dice(probs: Tensor, union: Tensor, dim: int) -> Tensor:
    """Mean dice loss of the projections along a dimension."""
    projection = torch.where(union, probs, 0.).amax(dim=dim)
    target = union.any(dim=dim)
    length = target.sum(dim=2)
    # outside the target the projection is zero, so it is the intersection
    overlap = projection.sum(dim=2)
    total = projection.square().sum(dim=2) + length
    loss = 1 - 2 * overlap / total.clamp(min=1)
    return weighted_mean(loss, length > 0)
