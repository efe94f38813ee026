# Copyright (c) mmbombo contributors.
from typing import Optional, Tuple

import torch
from mmdet.models.task_modules.assigners import AssignResult, BaseAssigner
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from mmbombo.registry import TASK_UTILS
from .iou_assigner import of_numbered_box


@TASK_UTILS.register_module()
class MutualGuideAssigner(BaseAssigner):
    """Mutual Guide (Zhang et al., ACCV 2020): each branch guides the other.

    An anchor is a positive of the classification where its *predicted box*
    fits an object, and a positive of the localization where the anchor fits
    and its *predicted class* is right:

    - R = IoU(object, predicted box) chooses the positives of classification,
      whose soft target is R ("localize to classify");
    - Q = min(1, IoU(object, anchor) * exp(p / sigma)), with p the predicted
      probability of the object's class, chooses those of localization, whose
      weight is Q ("classify to localize").

    In both, an anchor belongs to the object with the largest value, and an
    object takes as many of its best anchors as its ``topk`` largest values
    add up to, rounded down, at least one. Nothing is ignored.

    Only tensor operations: nothing waits for the device.

    Args:
        topk (int): Number of values that are added up. Defaults to 15.
    """

    #: How little the class counts.
    sigma = 2.

    #: ``assign`` needs ``bboxes`` and ``scores`` beside ``priors``.
    needs_predictions = True

    def __init__(self, topk: int = 15) -> None:
        self.topk = topk

    @torch.no_grad()
    def assign(self,
               pred_instances: InstanceData,
               gt_instances: InstanceData,
               gt_instances_ignore: Optional[InstanceData] = None,
               **kwargs) -> AssignResult:
        """Assign the anchors ``(A, )`` of one image.

        ``pred_instances`` has ``priors`` and predicted ``bboxes`` ``(A, 4)``
        in input pixels, and ``scores`` ``(A, C)`` in [0, 1]. The result is the
        assignment of classification with its soft targets as ``max_overlaps``,
        and the extra properties ``box_gt_inds`` and ``box_weights`` of
        localization.
        """
        boxes = get_box_tensor(gt_instances.bboxes)
        labels = gt_instances.labels
        predicted = bbox_overlaps(boxes, pred_instances.bboxes)
        probability = pred_instances.scores[:, labels].t()
        anchors = bbox_overlaps(boxes, pred_instances.priors)
        guided = (anchors * (probability / self.sigma).exp()).clamp(0, 1)

        gt_inds, quality = self._choose(predicted)
        box_gt_inds, box_weights = self._choose(guided)
        result = AssignResult(
            len(boxes),
            gt_inds,
            quality,
            labels=of_numbered_box(labels, gt_inds, -1))
        result.set_extra_property('box_gt_inds', box_gt_inds)
        result.set_extra_property('box_weights', box_weights)
        return result

    def _choose(self, values: Tensor) -> Tuple[Tensor, Tensor]:
        """Choose the positives by one matrix ``(G, A)`` in [0, 1]: the box of
        each anchor, counted from 1, or 0, and its value, or 0."""
        num_boxes, num_anchors = values.shape
        if num_boxes == 0:
            return (values.new_zeros(num_anchors, dtype=torch.long),
                    values.new_zeros(num_anchors))
        best, owner = values.max(dim=0)
        rows = torch.arange(num_boxes, device=values.device)
        owned = values * (rows[:, None] == owner)

        top, places = owned.topk(min(self.topk, num_anchors), dim=1)
        wanted = top.sum(dim=1).long().clamp(min=1)
        ranks = torch.arange(top.shape[1], device=values.device)
        taken = (ranks < wanted[:, None]) & (top > 0)
        positive = torch.zeros_like(
            owned, dtype=torch.bool).scatter(1, places, taken).any(dim=0)
        return (owner + 1) * positive, best * positive
