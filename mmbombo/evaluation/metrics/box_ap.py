# Copyright (c) mmbombo contributors.
"""COCO-style average precision from the ground truth of the samples."""
import contextlib
import io
from typing import Dict, List, Sequence, Tuple

import numpy as np
from mmdet.datasets.api_wrappers import COCO, COCOeval
from mmdet.evaluation import CocoMetric
from mmengine.logging import print_log
from terminaltables import AsciiTable

from mmbombo.registry import METRICS

MAX_DETECTIONS = 100  # per image, as the COCO benchmark counts them
#: Ends of the names of what is returned of each class, and of what it is; s,
#: m and l are COCO's sizes.
OF_A_CLASS = {'AP': '', 'AP50': '_50', 'AP_s': '_s', 'AP_m': '_m',
              'AP_l': '_l'}


@METRICS.register_module()
class BoxAPMetric(CocoMetric):
    """Average precision of boxes; needs no annotation file.

    Ground truth comes from the ``instances`` that the samples carry, so it
    works for any mix of data sets. It differs from :class:`mmdet.CocoMetric`:

    - a model without a single detection gets an AP of 0 and not an empty
      dict, on which ``save_best`` would die;
    - images are told apart by their position, so ids may be strings and may
      occur in several sources, and nothing is kept for the next validation;
    - AP, AP50 and AP by size are also returned for each class, and nothing is
      rounded.

    Ground truth with ``ignore_flag`` set is a crowd region of COCO: never a
    miss, and detections inside it are no false positives. Areas (for AP of
    small, medium and large objects) are those of the boxes.

    Args:
        classwise (bool): Whether to return and log ``<class>_AP``,
            ``<class>_AP50`` and ``<class>_AP_s``, ``_m`` and ``_l``. Defaults
            to True.
        **kwargs: ``collect_device`` and ``prefix`` of
            :class:`mmengine.BaseMetric`.
    """

    def __init__(self, classwise: bool = True, **kwargs) -> None:
        super().__init__(classwise=classwise, **kwargs)

    def compute_metrics(self, results: List[tuple]) -> Dict[str, float]:
        """Compute AP of all images.

        Returns:
            dict[str, float]: ``bbox_mAP`` (IoU .5:.95), ``bbox_mAP_50``,
            ``bbox_mAP_75``, ``bbox_mAP_s``, ``bbox_mAP_m``, ``bbox_mAP_l``
            in [0, 1], -1 where there is no ground truth to find; with
            ``classwise`` also ``<class>_AP`` and so on, NaN without ground
            truth.
        """
        precision = self._precision(results)
        scores = {
            f'bbox_mAP{end}': _mean(x, empty=-1.)
            for end, x in _parts(precision).items()
        }
        if self.classwise:
            scores.update(self._classwise(precision))
        return scores

    def _precision(self, results: List[tuple]) -> np.ndarray:
        """Precision after COCO: (10 IoUs, 101 recalls, classes, 4 areas)."""
        truth, found = _to_coco(results, self.dataset_meta['classes'])
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(truth, found, 'bbox')
            evaluation.params.maxDets = [MAX_DETECTIONS]
            evaluation.evaluate()
            evaluation.accumulate()
        return evaluation.eval['precision'][..., -1]

    def _classwise(self, precision: np.ndarray) -> Dict[str, float]:
        """AP of each class, also written to the log as a table."""
        scores, rows = dict(), [('class', *OF_A_CLASS)]
        for i, name in enumerate(self.dataset_meta['classes']):
            parts = _parts(precision[:, :, i])
            aps = [_mean(parts[x], float('nan')) for x in OF_A_CLASS.values()]
            scores.update(zip((f'{name}_{x}' for x in OF_A_CLASS), aps))
            rows.append((name, *(f'{ap:.3f}' for ap in aps)))
        print_log('\n' + AsciiTable(rows).table, logger='current')
        return scores


def _parts(precision: np.ndarray) -> Dict[str, np.ndarray]:
    """What of precision ``(10, 101, ..., 4)`` each AP is the mean of."""
    return {
        '': precision[..., 0],
        '_50': precision[0, ..., 0],
        '_75': precision[5, ..., 0],
        '_s': precision[..., 1],
        '_m': precision[..., 2],
        '_l': precision[..., 3]
    }


def _mean(precision: np.ndarray, empty: float) -> float:
    """Mean over the entries that are defined (COCO marks others with -1)."""
    defined = precision[precision > -1]
    return float(defined.mean()) if defined.size else empty


def _to_coco(results: List[tuple],
             classes: Sequence[str]) -> Tuple[COCO, COCO]:
    """Ground truth and predictions as two COCO indices.

    Category ids are the labels and image ids the positions in ``results``.
    """
    images, truths, found = [], [], []
    for i, (truth, prediction) in enumerate(results):
        images.append(dict(id=i, width=truth['width'], height=truth['height']))
        truths += [
            dict(
                _annotation(i, x['bbox'], x['bbox_label']),
                iscrowd=int(x.get('ignore_flag', 0))) for x in truth['anns']
        ]
        found += [
            dict(_annotation(i, bbox, label), iscrowd=0, score=float(score))
            for bbox, label, score in zip(*(prediction[key]
                                            for key in ('bboxes', 'labels',
                                                        'scores')))
        ]
    categories = [dict(id=i, name=name) for i, name in enumerate(classes)]
    return (_index(images, truths,
                   categories), _index(images, found, categories))


def _annotation(image_id: int, bbox: Sequence[float], label: int) -> dict:
    """One box (x1, y1, x2, y2) in pixels as a COCO annotation."""
    x1, y1, x2, y2 = (float(x) for x in bbox)
    return dict(
        image_id=image_id,
        category_id=int(label),
        bbox=[x1, y1, x2 - x1, y2 - y1],
        area=(x2 - x1) * (y2 - y1))


def _index(images: List[dict], annotations: List[dict],
           categories: List[dict]) -> COCO:
    """Build a COCO index from lists instead of a file."""
    # pycocotools takes id 0 for "not matched"
    annotations = [dict(x, id=i) for i, x in enumerate(annotations, start=1)]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dict(
            images=images, annotations=annotations, categories=categories)
        coco.createIndex()
    return coco
