# Copyright (c) mmbombo contributors.
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import torch
from mmdet.utils import InstanceList
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmbombo.models.context import StepContext
from mmbombo.models.task_heads.ignore_regions import (IgnoreRegions, pad_boxes,
                                                      split_boxes)
from mmbombo.registry import MODELS
from mmbombo.structures import IGNORE_INDEX, SEM_SEG
from mmbombo.utils import UserError
from mmbombo.weak_labels.masks_to_boxes import RefinedBoxes, refine_boxes
from .base_weak_loss import BaseWeakLoss, decode_cfg

#: What the names of MMDetection's losses contain. Localization is all that is
#: computed from the boxes of matched cells; others, such as the bags of
#: FreeAnchor, are about both.
LOCALIZATION = ('bbox', 'dfl', 'centerness', 'iou', 'pts')
CLASSIFICATION = ('cls', )

#: What ``supervise`` can be, and the part that it keeps.
SUPERVISE = ('both', 'cls', 'loc')


class Predictions(NamedTuple):
    """Predicted boxes of N images in P slots."""
    boxes: Tensor  #: ``(N, P, 4)`` in input pixels
    scores: Tensor  #: ``(N, P)``
    labels: Tensor  #: ``(N, P)`` detection labels
    valid: Tensor  #: ``(N, P)`` bool: the slot holds a prediction


@MODELS.register_module()
class MaskForBoxLoss(BaseWeakLoss):
    """Mask-for-Box: supervise detection on images that have a mask only.

    The circumscribed rectangles of the mask's connected components (labeled
    in the data loader's workers by ``LabelComponents``) are split, merged or
    used as they are, depending on the boxes that the network predicts, see
    :mod:`mmbombo.weak_labels.masks_to_boxes`. The loss is the detection
    head's own loss on these boxes. A pixel rules out all detection classes
    that other segmentation classes show, and at its cell they are negatives.
    What a mask does not say is ignored: pixels without a label, components
    too small to be a target, perhaps a piece of another one, or of which any
    of several classes is possible, ambiguous splits, and detection classes
    that no segmentation class shows.

    The steps are named in `Box for Mask and Mask for Box
    <https://arxiv.org/abs/2411.17536>`_; their conditions and all thresholds
    are our reconstruction.

    Our ablation bears out ``supervise``; the three predictors, and a
    ``loss_weight`` of 0.5 or 1, differ by less than seeds do. ``rest_thr`` was
    chosen on photographs of COCO. The figures are in
    ``docs/en/user_guides/weak_losses.md``, and for all runs in
    ``docs/en/notes/ablation.md``.

    Args:
        ramp (float): Share of the training over which the weight grows from
            0, because the boxes depend on the network. Defaults to 0.1.
        predictor (str): Who predicts: 'self', the network as it stands, at
            no extra forward pass; 'ema', its moving average in evaluation
            mode, which needs :class:`PredictorEMAHook`; the name of a
            :class:`TeacherHook`; 'none', nobody, so that the rectangles are
            used as they are. Defaults to 'self'.
        score_thr (float): Predictions must score more. It suits the head:
            the scores of GFL rarely pass 0.5. Defaults to 0.3.
        max_predictions (int): Predictions per image. Defaults to 30.
        iou_thr (float): See :func:`refine_boxes`. Defaults to 0.5.
        containment_thr (float): See :func:`refine_boxes`. Defaults to 0.7.
        rest_thr (float): See :func:`refine_boxes`. Defaults to 0.2.
        min_area (float): Smallest part of a split component, in pixels.
            Defaults to 80.
        supervise (str): What the boxes supervise: 'both', only the
            classification ('cls') or only the localization ('loc'), by the
            names of the losses. Defaults to 'both'.
        **kwargs: Arguments of :class:`BaseWeakLoss`.
    """

    name = 'm4b'
    task = 'det'
    source_kind = SEM_SEG
    needs_class_map = True
    required_fields = dict(
        components='has a mask and no boxes, but no components for '
        "MaskForBoxLoss: add dict(type='LabelComponents', ...) after the "
        'augmentation to the pipeline of this source')

    def __init__(self,
                 ramp: float = 0.1,
                 predictor: str = 'self',
                 score_thr: float = 0.3,
                 max_predictions: int = 30,
                 iou_thr: float = 0.5,
                 containment_thr: float = 0.7,
                 rest_thr: float = 0.2,
                 min_area: float = 80,
                 supervise: str = 'both',
                 **kwargs) -> None:
        super().__init__(ramp=ramp, **kwargs)
        if supervise not in SUPERVISE:
            raise UserError(f'supervise of MaskForBoxLoss must be one of '
                            f'{SUPERVISE}, not {supervise!r}')
        self.predictor = predictor
        self.supervise = supervise
        self.decode_cfg = decode_cfg(score_thr, max_predictions)
        self.refine_cfg = dict(
            score_thr=score_thr,
            iou_thr=iou_thr,
            containment_thr=containment_thr,
            rest_thr=rest_thr,
            min_area=min_area)

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """Losses of the detection head, and counts.

        How many pseudo boxes of the batch came from a split, the rest of
        one, a merge, a direct match or a kept rectangle, and how many regions
        are ignored.
        """
        targets, ignore, counts = self.pseudo_boxes(ctx, images)
        for i, target in zip(images, targets):
            ctx.samples[i].pseudo_instances = target
        losses = ctx.loss(self.task, targets, images, ignore)
        return {**select_losses(losses, self.supervise), **counts}

    @torch.no_grad()
    def pseudo_boxes(
        self, ctx: StepContext, images: List[int]
    ) -> Tuple[InstanceList, IgnoreRegions, Dict[str, Tensor]]:
        """Make boxes from masks and predictions: per image ``bboxes``,
        ``labels`` and ``origins``, see :data:`ORIGINS`; what to ignore; counts
        by origin, 0-dim tensors."""
        samples = [ctx.samples[i] for i in images]
        for sample in samples:
            self.check_sample(sample)
        tables = [sample.components for sample in samples]
        comp_boxes, comp_valid = pad_boxes([x.bboxes for x in tables])
        labels, areas, ignored = (
            pad_sequence([x.get(field) for x in tables], batch_first=True)
            for field in ('labels', 'areas', 'ignored'))
        pieces = pad_sequence(
            [x.get('pieces', torch.zeros_like(x.ignored)) for x in tables],
            batch_first=True)
        maps = torch.cat([x.component_map.data for x in samples])
        predictions = self._predictions(ctx, images, maps.device)
        refined = refine_boxes(maps, comp_boxes, labels, areas, comp_valid,
                               ignored, pieces, *predictions,
                               ctx.class_map.compatible_on(maps.device),
                               **self.refine_cfg)
        unknown = torch.cat([x.gt_sem_seg.sem_seg for x in samples])
        ignore = self._ignore(ctx, refined, unknown == IGNORE_INDEX)
        targets = split_boxes(
            refined.boxes,
            refined.labels,
            refined.valid,
            origins=refined.origins)
        return targets, ignore, refined.counts

    def _predictions(self, ctx: StepContext, images: List[int],
                     device: torch.device) -> Predictions:
        results: Optional[Any] = None
        if self.predictor != 'none':
            results = ctx.predict(self.task, images, self.predictor,
                                  self.decode_cfg)
        if results is None:
            results = [
                InstanceData(
                    bboxes=torch.zeros(0, 4, device=device),
                    scores=torch.zeros(0, device=device),
                    labels=torch.zeros(0, dtype=torch.long, device=device))
            ] * len(images)
        boxes, valid = pad_boxes([x.bboxes for x in results])
        scores, labels = (
            pad_sequence([x.get(field) for x in results], batch_first=True)
            for field in ('scores', 'labels'))
        return Predictions(boxes, scores, labels, valid)

    def _ignore(self, ctx: StepContext, refined: RefinedBoxes,
                unknown: Tensor) -> IgnoreRegions:
        """Ignored regions, and everywhere the classes no mask can show."""
        boxes, classes = refined.boxes, refined.ignored_classes
        if ctx.class_map.det_only:
            height, width = unknown.shape[1:]
            image = boxes.new_zeros(4)
            image[2], image[3] = width, height
            compatible = ctx.class_map.compatible_on(boxes.device)
            everywhere = ~compatible.any(dim=0)
            boxes = torch.cat([boxes, image.expand(len(boxes), 1, 4)], dim=1)
            classes = torch.cat(
                [classes, everywhere.expand(len(boxes), 1, -1)], dim=1)
        return IgnoreRegions(boxes, classes, unknown)


def part_of(key: str) -> str:
    """Whether a loss is about classes ('cls') or locations ('loc').

    By its name, such as 'loss_dfl'; '' if the name does not say.
    """
    if any(word in key for word in LOCALIZATION):
        return 'loc'
    if any(word in key for word in CLASSIFICATION):
        return 'cls'
    return ''


def select_losses(losses: Dict[str, Any], supervise: str) -> Dict[str, Any]:
    """Keep the losses of one part, 'both', 'cls' or 'loc'; and diagnostics."""
    if supervise == 'both':
        return losses
    unknown = [key for key in losses if 'loss' in key and not part_of(key)]
    if unknown:
        raise UserError(
            f"supervise='{supervise}' cannot be used with this detection "
            f'head: the names of its losses {unknown} do not say whether '
            f'they are about classes ({", ".join(CLASSIFICATION)}) or boxes '
            f"({', '.join(LOCALIZATION)}); use supervise='both'")
    return {
        key: value
        for key, value in losses.items()
        if 'loss' not in key or part_of(key) == supervise
    }
