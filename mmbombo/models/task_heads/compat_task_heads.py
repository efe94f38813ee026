# Copyright (c) mmbombo contributors.
"""Outputs of the paper's reference protocol, for comparison only.

Put these in place of the task heads of a trained network to evaluate it with
``CompatVOCMetric`` and ``CompatSegIoUMetric``. Training, weights and
everything but the final predictions are those of the base classes.
"""
from typing import Callable, Tuple

import torch
from mmcv.ops import nms
from mmdet.structures import DetDataSample, SampleList
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from mmbombo.models.utils import unpadded_shape
from mmbombo.registry import MODELS
from .det_task_head import DetTaskHead
from .seg_task_head import SegTaskHead

#: Score above which the reference code reports a class of a box, and IoU
#: above which a box suppresses another.
SCORE_THR = 0.05
NMS_IOU = 0.5
#: More candidates than a level has, for "no limit". (With nms_pre=-1
#: MMDetection drops the lowest candidate of each level.)
NO_LIMIT = 10**8


@MODELS.register_module()
class CompatDetTaskHead(DetTaskHead):
    """Suppresses boxes whatever their class, as the reference code does.

    A box ranks by its highest class score; a kept box is reported for every
    class above 0.05; there is no limit to their number. Overlapping objects
    of different classes suppress each other, so results lie below those of
    the usual suppression per class. Arguments are those of
    :class:`DetTaskHead`.
    """

    @torch.no_grad()
    def add_predictions(self, feats: Tuple[Tensor, ...], inputs: Tensor,
                        samples: SampleList, extract_feat: Callable) -> None:
        """Store ``pred_instances`` at the original size in the samples."""
        cfg = ConfigDict(self.test_cfg.to_dict())
        cfg.update(score_thr=SCORE_THR, nms_pre=NO_LIMIT)
        metas = [sample.metainfo for sample in samples]
        results = self._boxes(
            self(feats), metas, cfg=cfg, rescale=True, with_nms=False)
        for sample, result in zip(samples, results):
            sample.pred_instances = suppress_by_best_class(result, NMS_IOU)


@MODELS.register_module()
class CompatSegTaskHead(SegTaskHead):
    """Predicts maps at the size of the (squashed) input image.

    Arguments are those of :class:`SegTaskHead`.
    """

    def _restore(self, logits: Tensor, sample: DetDataSample) -> Tensor:
        """Cut the padding off and stay at the size of the input."""
        height, width = unpadded_shape(sample)
        return logits[:, :height, :width]


def suppress_by_best_class(candidates: InstanceData,
                           iou_threshold: float) -> InstanceData:
    """Non-maximum suppression of boxes that have several classes each.

    Candidates are pairs of a box and one of its classes. Boxes that overlap
    one of a higher score by more than ``iou_threshold`` are dropped.
    """
    boxes, box_of = candidates.bboxes.unique(dim=0, return_inverse=True)
    best = candidates.scores.new_zeros(len(boxes)).scatter_reduce(
        0, box_of, candidates.scores, 'amax')
    kept = torch.zeros_like(best, dtype=torch.bool)
    if len(boxes):
        kept[nms(boxes, best, iou_threshold)[1]] = True
    results = candidates[kept[box_of]]
    return results[results.scores.argsort(descending=True, stable=True)]
