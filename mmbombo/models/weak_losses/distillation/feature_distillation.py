# Copyright (c) mmbombo contributors.
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import torch
from mmdet.utils import OptConfigType
from torch import Tensor, nn

from mmbombo.models.context import StepContext
from mmbombo.models.losses.dist_mean import full_precision, weighted_mean
from mmbombo.models.losses.distillation import (defeat_loss, disagreement,
                                                feature_distance,
                                                pdf_score_loss, temperature_kl)
from mmbombo.models.task_heads import BaseTaskHead, SegTaskHead
from mmbombo.models.task_heads.ignore_regions import pad_boxes
from mmbombo.models.utils import (PROBE_SIZE, covered_cells, grid_points,
                                  run_probe, select_images,
                                  valid_cells_of_levels)
from mmbombo.registry import MODELS
from mmbombo.utils import UserError
from ..base_weak_loss import decode_cfg
from .dense_outputs import sizes_of
from .distillation_loss import DistillationLoss
from .soft_detection import DenseHeadDistillation

if TYPE_CHECKING:
    from mmbombo.models.detectors import MultiTaskDetector


class FeatureDistillation(DistillationLoss):
    """Base of the losses that compare the features that a task head reads.

    Student and teacher may differ in everything but the number and the
    strides of the levels that their heads read. Where the channels differ, a
    1x1 convolution per level brings the student's to the teacher's number; it
    belongs to the loss and is trained with the student.

    Args:
        teacher (str): Name of the teacher.
        adapt (dict, optional): ``in_channels`` of the student,
            ``out_channels`` of the teacher and ``num_levels``. Defaults to
            None, the channels are equal.
        feature_weight (float): Weight of the features. Defaults to 5, as in
            MulTaS' released code.
        **kwargs: Arguments of :class:`DistillationLoss`.
    """

    def __init__(self,
                 teacher: str,
                 adapt: OptConfigType = None,
                 feature_weight: float = 5.,
                 **kwargs) -> None:
        super().__init__(teacher, **kwargs)
        self.adapters: Optional[nn.ModuleList] = None
        if adapt is not None:
            self.adapters = adapters(**adapt)
        self.feature_weight = feature_weight

    def check_teacher(self, model: 'MultiTaskDetector',
                      teacher: nn.Module) -> None:
        """Raise ``UserError`` if the levels differ in number or shape."""
        super().check_teacher(model, teacher)
        ours, theirs = ([
            tuple(feat.shape)
            for feat in read_levels(x.head(self.task), run_probe(x))
        ] for x in (model, teacher))
        adapted = [x[1] for x in ours]
        fits = [x[2:] for x in ours] == [x[2:] for x in theirs]
        if self.adapters is not None:
            fits &= adapted == [conv.in_channels for conv in self.adapters]
            adapted = [conv.out_channels for conv in self.adapters]
        if not fits or adapted != [x[1] for x in theirs]:
            raise UserError(
                f"{type(self).__name__}: of an image of {PROBE_SIZE} pixels "
                f"the heads '{self.task}' read maps {ours} in the student and "
                f"{theirs} in the teacher '{self.predictor}'. Sizes must "
                'be equal; for other channels set adapt=dict(in_channels='
                f'{ours[0][1]}, out_channels={theirs[0][1]}, num_levels='
                f'{len(theirs)})')

    def distance(self, ctx: StepContext,
                 images: List[int]) -> Tuple[Tensor, Tensor, List[tuple]]:
        """Squared distance of the features of n >= 1 images.

        Returns:
            tuple: Distances ``(n, K)``; cells in the images ``(n, K)`` bool;
            height and width of the levels.
        """
        student = select_images(ctx.features, images, len(ctx.samples))
        student = read_levels(ctx.model.head(self.task), student)
        teacher = ctx.model.teachers.get(self.predictor)
        targets = read_levels(
            teacher.head(self.task), ctx.features_of(self.predictor, images))
        if self.adapters is not None:
            student = [
                adapter(x) for adapter, x in zip(self.adapters, student)
            ]
        sizes = sizes_of(student)
        valid = valid_cells_of_levels(
            ctx.metas(images), sizes, ctx.inputs.shape[-2:], ctx.inputs.device)
        return feature_distance(student, targets), valid, sizes


@MODELS.register_module()
class FeatureMSELoss(FeatureDistillation):
    """Learn a teacher's features by their mean squared error.

    As "mse" in MulTaS' released code, with weight 5, but without the padding
    of the images.

    Args:
        teacher (str): Name of the teacher.
        task (str): Whose features, those that the head of this task reads.
        **kwargs: Arguments of :class:`FeatureDistillation`.
    """

    def __init__(self, teacher: str, task: str, **kwargs) -> None:
        super().__init__(teacher, **kwargs)
        self.task = task
        self.name = f'mse_{task}'

    def head_images(self, ctx: StepContext) -> Dict[str, List[int]]:
        """None: the features are enough."""
        return {}

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """``loss_feature``, the weighted mean squared error."""
        distance, valid, _ = self.distance(ctx, images)
        return dict(loss_feature=self.feature_weight *
                    weighted_mean(distance, valid))


def adapters(in_channels: int, out_channels: int,
             num_levels: int) -> nn.ModuleList:
    """A 1x1 convolution per level."""
    return nn.ModuleList(
        nn.Conv2d(in_channels, out_channels, 1) for _ in range(num_levels))


def read_levels(task_head: BaseTaskHead, feats: Any) -> List[Tensor]:
    """The feature maps that a task head reads."""
    indices = getattr(task_head, 'in_indices', None)
    if hasattr(task_head, 'in_index'):
        indices = task_head.in_index
    if isinstance(task_head, SegTaskHead):
        indices = task_head.head.in_index
    if indices is None:
        return list(feats)
    if isinstance(indices, int):
        indices = [indices]
    return [feats[i] for i in indices]


@MODELS.register_module()
class DeFeatLoss(FeatureDistillation):
    """Learn a teacher's features, objects and background apart.

    Objects are the ground-truth boxes where there are some, and otherwise the
    teacher's own boxes. (The released code of MulTaS takes the boxes of the
    previous detection batch on images without boxes.)

    Args:
        teacher (str): Name of the teacher.
        score_thr (float): Boxes of the teacher must score more. Defaults to
            0.3.
        max_predictions (int): Boxes of the teacher per image. Defaults to 30.
        **kwargs: Arguments of :class:`FeatureDistillation`.
    """

    name = 'defeat_det'
    task = 'det'

    def __init__(self,
                 teacher: str,
                 score_thr: float = 0.3,
                 max_predictions: int = 30,
                 **kwargs) -> None:
        super().__init__(teacher, **kwargs)
        self.decode_cfg = decode_cfg(score_thr, max_predictions)

    def head_images(self, ctx: StepContext) -> Dict[str, List[int]]:
        """None: the features are enough."""
        return {}

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """``loss_foreground`` and ``loss_background``."""
        distance, valid, sizes = self.distance(ctx, images)
        boxes = self._object_boxes(ctx, images)
        foreground = torch.cat([
            cells_in_boxes(boxes, size, ctx.inputs.shape[-2:]).flatten(1)
            for size in sizes
        ],
                               dim=1)
        objects, background = defeat_loss(distance, foreground, valid)
        return dict(
            loss_foreground=self.feature_weight * objects,
            loss_background=self.feature_weight * background)

    def _object_boxes(self, ctx: StepContext, images: List[int]) -> Tensor:
        """Boxes ``(n, P, 4)`` in input pixels, padded with zeros."""
        annotated = self.annotated(ctx)
        boxes = {
            i: ctx.samples[i].gt_instances.bboxes
            for i in images if i in annotated
        }
        others = [i for i in images if i not in annotated]
        if others:
            found = ctx.predict(self.task, others, self.predictor,
                                self.decode_cfg)
            boxes.update((i, x.bboxes) for i, x in zip(others, found))
        return pad_boxes([boxes[i] for i in images])[0]


@MODELS.register_module()
class PDFLoss(FeatureDistillation, DenseHeadDistillation):
    """Learn a teacher's features where the predictions disagree.

    The three terms of MulTaS' released code: features weighted by the
    disagreement of the class scores, scores weighted by their squared
    difference, and the mean distance of the boxes, L1 for offsets and
    distances, and (ours) the divergence for the distributions of GFL. Where
    both heads agree everywhere the features cost zero, not 0 / 0.

    Args:
        teacher (str): Name of the teacher.
        **kwargs: Arguments of :class:`FeatureDistillation`.
    """

    name = 'pdf_det'

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """``loss_feature``, ``loss_score`` and ``loss_box``."""
        distance, valid, _ = self.distance(ctx, images)
        student, teacher, _ = self.dense_outputs(ctx, images)
        weights = disagreement(student.scores, teacher.scores)
        if student.boxes.dim() == 5:
            boxes = temperature_kl(student.boxes, teacher.boxes, dim=4)
        else:
            boxes = (full_precision(student.boxes) -
                     full_precision(teacher.boxes)).abs()
        return dict(
            loss_feature=self.feature_weight *
            weighted_mean(distance, weights * valid),
            loss_score=pdf_score_loss(student.scores, teacher.scores, valid),
            loss_box=weighted_mean(boxes, valid[:, :, None, None]))


def cells_in_boxes(boxes: Tensor, size: Tuple[int, int],
                   input_size: Tuple[int, int]) -> Tensor:
    """Cells ``(N, H, W)`` with a center in or on one of ``(N, P, 4)`` boxes.

    A center on the right or lower edge counts, as in MulTaS' released code;
    for :func:`covered_cells`, which ends before that edge, boxes reach to the
    next number. Rows of zeros are padding.
    """
    ys, xs = grid_points(size, input_size, boxes.device)
    ends = boxes[..., 2:]
    closed = torch.cat([boxes[..., :2], ends.nextafter(ends + 1)], dim=2)
    one_class = boxes.new_ones(boxes.shape[:2] + (1, ))
    return covered_cells(closed, one_class, xs, ys)[:, 0]
