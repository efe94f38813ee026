# Copyright (c) mmbombo contributors.
from typing import Dict, List, Tuple

import torch
from torch import Tensor

from mmbombo.models.context import StepContext
from mmbombo.models.losses.defeat_loss import defeat_loss
from mmbombo.models.task_heads.ignore_regions import pad_boxes
from mmbombo.models.utils import grid_points
from mmbombo.registry import MODELS
from mmbombo.weak_labels import covered_cells
from ..decode_cfg import decode_cfg
from .feature_distillation import FeatureDistillation


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
        annotated = set(ctx.annotated(self.task))
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


def cells_in_boxes(boxes: Tensor, size: Tuple[int, int],
                   input_size: Tuple[int, int]) -> Tensor:
    """Cells of one feature level whose center lies in or on a box.

    A center on the right or lower edge counts, as in MulTaS' released code;
    for :func:`covered_cells`, which ends before that edge, boxes reach to the
    next number.

    Args:
        boxes (Tensor): ``(N, P, 4)`` in input pixels, (x1, y1, x2, y2); rows
            of zeros are padding.
        size (tuple[int, int]): Height and width of the level in cells.
        input_size (tuple[int, int]): Height and width of the input in
            pixels.

    Returns:
        Tensor: ``(N, H, W)`` bool.
    """
    ys, xs = grid_points(size, input_size, boxes.device)
    ends = boxes[..., 2:]
    closed = torch.cat([boxes[..., :2], ends.nextafter(ends + 1)], dim=2)
    one_class = boxes.new_ones(boxes.shape[:2] + (1, ))
    return covered_cells(closed, one_class, xs, ys)[:, 0]
