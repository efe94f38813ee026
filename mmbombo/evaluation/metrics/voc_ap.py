# Copyright (c) mmbombo contributors.
"""Average precision of boxes as Pascal VOC defines it."""
from typing import Dict, List, Sequence, Tuple

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from terminaltables import AsciiTable

from mmbombo.evaluation.functional.voc_average_precision import (
    AP_MODES, box_ious, voc_average_precision)
from mmbombo.registry import METRICS
from mmbombo.utils import UserError

#: 0.5, 0.55, ..., 0.95 to the last bit, which 0.5 + k * 0.05 is not.
IOU_THRS = np.arange(10, 20) / 20


@METRICS.register_module()
class VOCAPMetric(BaseMetric):
    """VOC's average precision from the ground truth of the samples.

    It differs from COCO's (:class:`BoxAPMetric`) in that the curve is not
    sampled at 101 recalls, that there is no limit of 100 detections per
    image, and that a detection whose best true box is taken is wrong even if
    it overlaps another one. Ground truth with ``ignore_flag`` set is a
    difficult object: never a miss, and a detection of it does not count.

    Boxes are edges in pixels (x2 = last pixel + 1, as
    :class:`PartialVOCDataset` reads them), so an IoU here equals the one of
    VOC's development kit, which adds one to the difference of the first and
    the last pixel.

    MMDetection's ``eval_map``, with which a test compares it, is not called
    because it compares in float32, where an IoU of 0.7 misses the threshold
    0.7; because it leaves the order of equal scores, which the reference
    code's rounding makes, to an unstable sort; and because it matches anew
    for each threshold, in 8 times the time.

    Args:
        mode (str): 'area', all points of the curve (from VOC2010 on), or
            '11points' (up to VOC2009). Defaults to 'area'.
        classwise (bool): Whether to return and log ``<class>_AP`` and
            ``<class>_AP50``. Defaults to True.
        **kwargs: Arguments of :class:`mmengine.BaseMetric`.
    """

    default_prefix = 'voc'
    #: Whether x2 and y2 are last pixels, see ``box_ious``.
    inclusive = False

    def __init__(self,
                 mode: str = 'area',
                 classwise: bool = True,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        if mode not in AP_MODES:
            raise UserError(f'mode of {type(self).__name__} must be one of '
                            f'{AP_MODES}, not {mode!r}')
        self.mode = mode
        self.classwise = classwise

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep ``pred_instances`` and the true ``instances`` of a batch, both
        in pixels of the original image."""
        for sample in data_samples:
            found, truths = sample['pred_instances'], sample['instances']
            boxes = np.array([t['bbox'] for t in truths], dtype=np.float64)
            labels = [t['bbox_label'] for t in truths]
            difficult = [t.get('ignore_flag', 0) for t in truths]
            self.results.append(
                dict(
                    boxes=found['bboxes'].double().cpu().numpy(),
                    scores=found['scores'].double().cpu().numpy(),
                    labels=found['labels'].cpu().numpy(),
                    true_boxes=boxes.reshape(-1, 4),
                    true_labels=np.array(labels, dtype=np.int64),
                    difficult=np.array(difficult, dtype=bool)))

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """Compute AP of all images.

        Returns:
            dict[str, float]: ``bbox_mAP`` (mean over IoU .5:.95),
            ``bbox_mAP_50`` and ``bbox_mAP_75`` in [0, 1], means over the
            classes that have a true box that is not difficult, -1 if there
            is none; with ``classwise`` also ``<class>_AP`` and
            ``<class>_AP50``, NaN for a class without one.
        """
        classes = self.dataset_meta['classes']
        matches = self._match(results, len(classes))
        aps = np.stack([
            voc_average_precision(*of_class, IOU_THRS, self.mode)
            for of_class in matches
        ])
        defined = aps[~np.isnan(aps[:, 0])]
        mean = defined.mean(axis=0) if len(defined) else np.full(10, -1.)
        scores = dict(
            bbox_mAP=float(mean.mean()),
            bbox_mAP_50=float(mean[0]),
            bbox_mAP_75=float(mean[5]))
        if self.classwise:
            scores.update(self._classwise(aps, matches))
        return scores

    def _match(self, results: List[dict],
               num_classes: int) -> List[Tuple[np.ndarray, ...]]:
        """What ``voc_average_precision`` needs of each class."""
        parts: List[list] = [[] for _ in range(num_classes)]
        num_truths, offset = np.zeros(num_classes, dtype=np.int64), 0
        for image in results:
            easy = image['true_labels'][~image['difficult']]
            num_truths += np.bincount(easy, minlength=num_classes)
            for label in np.unique(image['labels']):
                parts[label].append(self._match_one(image, label, offset))
            offset += len(image['true_labels'])
        empty = (np.zeros(0), np.zeros(0), np.zeros(0, int), np.zeros(0, bool))
        return [(*map(np.concatenate, zip(empty, *of_class)), int(number))
                for of_class, number in zip(parts, num_truths)]

    def _match_one(self, image: dict, label: int,
                   offset: int) -> Tuple[np.ndarray, ...]:
        """Scores, overlaps, numbers and difficulty for a class and image."""
        found = image['labels'] == label
        own = np.flatnonzero(image['true_labels'] == label)
        if not len(own):
            number = int(found.sum())
            return (image['scores'][found], np.zeros(number),
                    np.full(number, -1), np.zeros(number, dtype=bool))
        ious = box_ious(image['boxes'][found], image['true_boxes'][own],
                        self.inclusive)
        # VOC asks for the best of all, difficult and taken ones included
        best = own[ious.argmax(axis=1)]
        return (image['scores'][found], ious.max(axis=1), best + offset,
                image['difficult'][best])

    def _classwise(self, aps: np.ndarray,
                   matches: List[tuple]) -> Dict[str, float]:
        """AP and AP50 of each class, also written to the log as a table."""
        scores = dict()
        rows = [('class', 'objects', 'detections', 'AP', 'AP50', 'AP75')]
        names = self.dataset_meta['classes']
        for name, ap, (found, *_, num_truths) in zip(names, aps, matches):
            scores[f'{name}_AP'] = float(ap.mean())
            scores[f'{name}_AP50'] = float(ap[0])
            rows.append((name, num_truths, len(found), f'{ap.mean():.3f}',
                         f'{ap[0]:.3f}', f'{ap[5]:.3f}'))
        print_log('\n' + AsciiTable(rows).table, logger='current')
        return scores
