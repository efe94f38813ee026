# Copyright (c) mmbombo contributors.
"""The protocol of the paper's reference code, for comparison only.

It measures less strictly than the benchmarks do; its results carry 'compat'
in their names, so that they are never taken for those of the benchmarks and
never decide which checkpoint is best. What the networks put out for it
(every class of a kept box, maps at the size of the input) is made by
``CompatDetTaskHead`` and ``CompatSegTaskHead``.
"""
from typing import Dict, List, Optional, Sequence, Tuple

import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

from mmbombo.registry import METRICS
from .seg_iou import SegIoUMetric, sum_areas
from .voc_ap import VOCAPMetric

#: From this year on VOC takes all points of the curve.
FIRST_YEAR_OF_ALL_POINTS = 2010
#: Edges in pixels to first and last pixel, counted from 1.
FROM_EDGES = (1., 1., 0., 0.)


@METRICS.register_module()
class CompatVOCMetric(VOCAPMetric):
    """VOC's AP of detections as the reference code writes them to files.

    Boxes become first and last pixels, counted from 1 (a width is
    x2 - x1 + 1); their coordinates are rounded to 0.1 and scores to 0.001.
    The headline is the mean over IoU .5:.95.

    Args:
        year (int): Year of the validation set: below 2010 the AP is that of
            11 points, from then on that of all points.
        **kwargs: ``classwise``, ``collect_device`` and ``prefix`` of
            :class:`VOCAPMetric`.
    """

    inclusive = True

    def __init__(self, year: int, **kwargs) -> None:
        mode = 'area' if year >= FIRST_YEAR_OF_ALL_POINTS else '11points'
        super().__init__(mode=mode, **kwargs)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the boxes of a batch as first and last pixels."""
        start = len(self.results)
        super().process(data_batch, data_samples)
        for image in self.results[start:]:
            image['true_boxes'] += FROM_EDGES
            image['boxes'] = (image['boxes'] + FROM_EDGES).round(1)
            image['scores'] = image['scores'].round(3)

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """The results of :class:`VOCAPMetric`, named ``compat_...``."""
        return _named_compat(super().compute_metrics(results))


@METRICS.register_module()
class CompatSegIoUMetric(SegIoUMetric):
    """IoU of maps that are squashed to one size, as the reference code does.

    The ground truth is resized to ``size`` (nearest pixel), and so is a
    prediction that does not have that size. ``compat_mIoU`` is the mean over
    the classes that the ground truth shows, so a class that is only
    predicted lowers no mean.

    Args:
        size (tuple[int, int], optional): Height and width in pixels; None
            keeps the original size, which is what the reference code does on
            COCO. Defaults to (320, 320).
        **kwargs: Arguments of :class:`SegIoUMetric`.
    """

    def __init__(self, size: Optional[Tuple[int, int]] = (320, 320),
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.size = size

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch, see :class:`SegIoUMetric`."""
        fields = ('pred_sem_seg', 'gt_sem_seg')
        super().process(data_batch, [
            dict(
                sample, **{
                    field: dict(data=self._squash(sample, field))
                    for field in fields
                }) for sample in data_samples
        ])

    def _squash(self, sample: dict, field: str) -> Tensor:
        """The ids ``(1, h, w)`` of a map at the size of the evaluation."""
        ids = sample[field]['data']
        size = self.size or sample['gt_sem_seg']['data'].shape[-2:]
        resized = F.interpolate(ids[None].float(), size=tuple(size))
        return resized[0].to(ids.dtype)

    def compute_metrics(self, results: List[tuple]) -> Dict[str, float]:
        """The results of :class:`SegIoUMetric`, named ``compat_...``, with
        means over the classes of the ground truth."""
        scores = super().compute_metrics(results)
        intersect, union, _, label = (x.numpy() for x in sum_areas(results))
        shown = label > 0
        for name, whole in (('mIoU', union), ('mAcc', label)):
            if name in scores:
                ratios = intersect[shown] / whole[shown]
                scores[name] = \
                    float(ratios.mean()) * 100 if len(ratios) else float('nan')
        if 'mIoU' in scores:
            print_log(
                f'compat_mIoU {scores["mIoU"]:.2f} over the {shown.sum()} '
                'classes of the ground truth; not the mIoU of the benchmark',
                logger='current')
        return _named_compat(scores)


def _named_compat(scores: Dict[str, float]) -> Dict[str, float]:
    return {f'compat_{name}': value for name, value in scores.items()}
