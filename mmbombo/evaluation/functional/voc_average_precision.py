# Copyright (c) mmbombo contributors.
"""Average precision as Pascal VOC defines it, without a loop over boxes."""
from typing import Sequence

import numpy as np
from mmdet.evaluation.functional.mean_ap import average_precision

#: How the area under the curve is taken: at 11 recalls up to VOC2009, at all
#: of them from VOC2010 on.
AP_MODES = ('area', '11points')


def box_ious(boxes: np.ndarray,
             others: np.ndarray,
             inclusive: bool = False) -> np.ndarray:
    """IoU ``(M, T)`` of all pairs of boxes x1, y1, x2, y2 in pixels.

    MMDetection's ``bbox_overlaps`` is the same in float32, in which an IoU of
    0.7 is below the threshold 0.7. If ``inclusive``, x2 and y2 are the last
    pixels of the box (VOC's files: a width is x2 - x1 + 1), not its edges.
    """
    boxes, others = boxes.astype(np.float64), others.astype(np.float64)
    extra = float(inclusive)
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2])
    end = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = (end - corner + extra).clip(min=0.).prod(axis=-1)
    areas = (boxes[:, 2:] - boxes[:, :2] + extra).prod(axis=-1)
    other_areas = (others[:, 2:] - others[:, :2] + extra).prod(axis=-1)
    union = areas[:, None] + other_areas[None] - common
    return common / np.maximum(union, np.finfo(np.float64).tiny)


def voc_average_precision(scores: np.ndarray,
                          ious: np.ndarray,
                          truths: np.ndarray,
                          difficult: np.ndarray,
                          num_truths: int,
                          iou_thrs: Sequence[float],
                          mode: str = 'area') -> np.ndarray:
    """AP of one class over all images, in [0, 1], at each threshold; NaN if
    there is nothing to find.

    A detection is right if its best true box overlaps it by the threshold
    and no detection of a higher score has taken that box; it does not count
    at all if that box is difficult; otherwise it is wrong. The curve's area
    is MMDetection's ``average_precision`` in its ``mode`` 'area' or
    '11points'.

    Each of all M detections has a score (equal ones rank in the order that
    they come in), the overlap with its best true box, the number of that box,
    unique over the images, and whether it is difficult. There are
    ``num_truths`` true boxes that are not difficult.
    """
    if not num_truths:
        return np.full(len(iou_thrs), np.nan)
    order = np.argsort(-scores, kind='stable')
    ious, truths, difficult = ious[order], truths[order], difficult[order]
    values = []
    for threshold in iou_thrs:
        overlaps = ious >= threshold
        right = np.zeros(len(ious), dtype=bool)
        candidates = np.flatnonzero(overlaps & ~difficult)
        # The first of those that claim a box has it.
        _, first = np.unique(truths[candidates], return_index=True)
        right[candidates[first]] = True
        found = right[~(overlaps & difficult)].cumsum()
        precision = found / (np.arange(len(found)) + 1)
        values.append(average_precision(found / num_truths, precision, mode))
    return np.array(values, dtype=np.float64)
