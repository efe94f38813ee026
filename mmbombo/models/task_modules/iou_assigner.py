# Copyright (c) mmbombo contributors.
from typing import Optional, Tuple

import torch
from mmdet.models.task_modules.assigners import AssignResult, BaseAssigner
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from mmbombo.registry import TASK_UTILS

#: Pairs of a box and an anchor that are compared at once.
CHUNK = 2**24


@TASK_UTILS.register_module()
class IoUAssigner(BaseAssigner):
    """Assign anchors by their overlap with the boxes, as BoMBo does.

    The same anchors become positive, negative and ignored as with
    :class:`mmdet.MaxIoUAssigner` and ``gt_max_assign_all=False``: an anchor
    belongs to the box that it overlaps most, and the best anchor of each box
    is positive however little the overlap (of two boxes with one best anchor,
    the later one gets it). A box without area overlaps none.

    Two things are different. The paper's network ignores an anchor between
    the thresholds for the class of its box only, and learns that it is none
    of the other classes; MMDetection's result does not say which box it was.
    And there are only tensor operations: nothing waits for the device, and
    there is no loop over boxes.

    Args:
        pos_iou_thr (float): IoU from which an anchor is positive. Defaults
            to 0.5.
        neg_iou_thr (float): IoU below which it is negative. Defaults to 0.4.
    """

    def __init__(self,
                 pos_iou_thr: float = 0.5,
                 neg_iou_thr: float = 0.4) -> None:
        self.pos_iou_thr = pos_iou_thr
        self.neg_iou_thr = neg_iou_thr

    @torch.no_grad()
    def assign(self,
               pred_instances: InstanceData,
               gt_instances: InstanceData,
               gt_instances_ignore: Optional[InstanceData] = None,
               **kwargs) -> AssignResult:
        """Assign the anchors ``(A, )`` of one image.

        Gives ``gt_inds`` (-1 ignored, 0 background, k box k - 1), ``labels``
        (-1 for none), and the extra property ``ignored_labels``: the class
        that an anchor is ignored for, or -1.
        """
        boxes = get_box_tensor(gt_instances.bboxes)
        priors = pred_instances.priors
        # in parts: what it needs meanwhile is larger
        parts = priors.split(CHUNK // (len(boxes) + 1))
        overlaps = torch.cat([bbox_overlaps(boxes, x) for x in parts], dim=1)
        values, gt_inds = nearest_boxes(overlaps)
        ignored = (values >= self.neg_iou_thr) & (values < self.pos_iou_thr)
        positive = values >= self.pos_iou_thr

        labels = of_numbered_box(gt_instances.labels, gt_inds, -1)
        result = AssignResult(
            len(boxes),
            gt_inds * positive - ignored.long(),
            values,
            labels=torch.where(positive, labels, -1))
        result.set_extra_property('ignored_labels',
                                  torch.where(ignored, labels, -1))
        return result


def nearest_boxes(overlaps: Tensor) -> Tuple[Tensor, Tensor]:
    """The box ``(A, )`` that each anchor belongs to, whether or not it is
    positive: the overlap, 1 for the best anchor of a box, and the box, counted
    from 1; 0 and 0 if there is none."""
    num_boxes, num_anchors = overlaps.shape
    none = overlaps.new_zeros(num_anchors, dtype=torch.long)
    if num_boxes == 0:
        return overlaps.new_zeros(num_anchors), none
    values, owners = overlaps.max(dim=0)
    numbers = torch.arange(1, num_boxes + 1, device=overlaps.device)
    best, places = overlaps.max(dim=1)
    # the largest number is the last box
    forced = none.scatter_reduce(0, places, numbers * (best > 0), 'amax')
    return (values.masked_fill(forced > 0,
                               1.), torch.where(forced > 0, forced,
                                                owners + 1))


def of_numbered_box(values: Tensor, numbers: Tensor, none: float) -> Tensor:
    """What the boxes say (``values`` ``(G, ...)``), for anchors that name
    their box by its number, counted from 1 as in MMDetection's ``gt_inds``;
    ``none`` for those without one."""
    row = values.new_full((1, *values.shape[1:]), none)
    return torch.cat([row, values])[numbers.clamp(min=0)]
