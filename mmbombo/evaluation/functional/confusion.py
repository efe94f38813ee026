# Copyright (c) mmbombo contributors.
"""Which classes are taken for which."""
import numpy as np

from mmbombo.structures import IGNORE_INDEX
from .detection_errors import greedy_match, in_ignored_regions
from .voc_average_precision import box_ious


def box_confusion(image: dict, num_classes: int,
                  score_thr: float) -> np.ndarray:
    """Objects of an image by class (rows) and by the class of the box that
    finds them at an IoU of 0.5 (columns), ``(C + 1, C + 1)``.

    In the last column are objects without a box, in the last row boxes
    without an object. Boxes from ``score_thr`` on take the objects of their
    class, as for AP, and those of other classes after that. ``image`` is as
    :class:`VOCAPMetric` keeps it; difficult objects do not count.
    """
    order = np.argsort(-image['scores'], kind='stable')
    order = order[image['scores'][order] >= score_thr]
    boxes, labels = image['boxes'][order], image['labels'][order]
    easy = ~image['difficult']
    true_labels = image['true_labels'][easy]
    ious = box_ious(boxes, image['true_boxes'][easy])
    matched = greedy_match(ious * (labels[:, None] == true_labels))
    ious[matched >= 0] = 0
    ious[:, matched[matched >= 0]] = 0
    matched = np.maximum(matched, greedy_match(ious))

    counts = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)
    hit = matched >= 0
    np.add.at(counts, (true_labels[matched[hit]], labels[hit]), 1)
    missed = np.delete(true_labels, matched[hit])
    np.add.at(counts, (missed, num_classes), 1)
    false = ~hit & ~in_ignored_regions(image, boxes, labels)
    np.add.at(counts, (num_classes, labels[false]), 1)
    return counts


def map_confusion(truth: np.ndarray, pred: np.ndarray,
                  num_classes: int) -> np.ndarray:
    """Labeled pixels of maps ``(H, W)`` by true class (rows) and predicted
    one (columns), ``(C, C)``."""
    known = truth != IGNORE_INDEX
    pairs = num_classes * truth[known].astype(np.int64) + pred[known]
    return np.bincount(pairs, minlength=num_classes**2).reshape(
        num_classes, num_classes)
