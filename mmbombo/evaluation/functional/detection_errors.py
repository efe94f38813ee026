# Copyright (c) mmbombo contributors.
"""What kinds of errors a detector makes, and what each of them costs.

After `TIDE <https://arxiv.org/abs/2008.08115>`_ (Bolya et al., ECCV 2020).
"""
from typing import Dict, List, Tuple

import numpy as np
from mmdet.evaluation import bbox_overlaps

from .voc_average_precision import box_ious

#: Wrong class; wrong place; both; found twice; nothing there.
KINDS = CLS, LOC, BOTH, DUPE, BKG = ('Cls', 'Loc', 'Both', 'Dupe', 'Bkg')
#: No error, or in a region to be ignored.
RIGHT, IGNORED = '', 'ignored'
#: IoU from which a box is found, and up to which there is nothing.
FOUND, NOTHING = 0.5, 0.1
#: As COCO counts them, and reads precision.
MAX_DETECTIONS, RECALLS = 100, np.linspace(0, 1, 101)


def detection_errors(images: List[dict],
                     num_classes: int) -> Tuple[Dict[str, float], dict]:
    """Error kinds at an IoU of 0.5.

    Of each kind the AP50 (COCO's) that would be won if these errors alone
    were mended: a wrong class or place is set right, unless the object is
    found already or by a box of a higher score; other wrong boxes are removed;
    objects that are missed (``Miss``), but for those, are forgotten. ``FP``
    are all wrong boxes, ``FN`` all objects that are not found.

    Args:
        images (list[dict]): As :class:`VOCAPMetric` keeps them.
        num_classes (int): Number of classes.

    Returns:
        tuple[dict, dict]: AP50 to be won, from 0 to 1, and ``AP50`` itself;
        the number of errors.
    """
    parts = [_errors_of_image(image) for image in images]
    labels, scores, kinds, fixed = (
        np.concatenate(x) for x in zip(*(x[:4] for x in parts)))
    truths, found, missed = (
        np.bincount(np.concatenate(x), minlength=num_classes)
        for x in zip(*(x[4:] for x in parts)))
    right, counted = kinds == RIGHT, kinds != IGNORED

    def ap(kept=counted, labels=labels, right=right, truths=truths):
        return mean_ap(labels[kept], scores[kept], right[kept], truths)

    base = ap()
    values, counts = dict(AP50=base), dict()
    for kind in KINDS:
        own = kinds == kind
        mended = own & (fixed >= 0)
        values[kind] = max(0., ap(
            counted & (~own | mended), np.where(mended, fixed, labels),
            right | mended) - base)
        counts[kind] = int(own.sum())
    values['Miss'] = max(0., ap(truths=truths - missed) - base)
    values['FP'] = ap(right) - base
    values['FN'] = ap(truths=found) - base
    counts.update(
        Miss=int(missed.sum()), FP=sum(counts.values()),
        FN=int((truths - found).sum()))
    return values, counts


def _errors_of_image(image: dict) -> tuple:
    """Label, score, kind and, if it can be set right, label then (-1 if not)
    of each detection; labels of all objects, of found ones, and of those that
    are missed for good."""
    order = np.argsort(-image['scores'], kind='stable')[:MAX_DETECTIONS]
    boxes, labels, scores = (
        image[key][order] for key in ('boxes', 'labels', 'scores'))
    easy = ~image['difficult']
    truths, true_labels = image['true_boxes'][easy], image['true_labels'][easy]
    ious = box_ious(boxes, truths)
    same = labels[:, None] == true_labels
    matched = greedy_match(ious * same)
    taken = np.isin(np.arange(len(truths)), matched)

    # without an object a column that nothing overlaps
    own, other = (np.c_[ious * x, np.zeros(len(ious))] for x in (same, ~same))
    twice = np.where(np.r_[taken, False], own, 0).max(axis=1)
    kinds = np.select([
        matched >= 0,
        in_ignored_regions(image, boxes, labels),
        (own.max(axis=1) >= NOTHING) & (own.max(axis=1) < FOUND),
        other.max(axis=1) >= FOUND,
        twice >= FOUND,
        np.maximum(own, other).max(axis=1) <= NOTHING,
    ], [RIGHT, IGNORED, LOC, CLS, DUPE, BKG], BOTH)

    fixed, claimed = np.full(len(boxes), -1), taken.copy()
    # in the order of their scores: the first has the object
    for i, kind in enumerate(kinds):
        if kind in (CLS, LOC):
            j = (own if kind == LOC else other)[i].argmax()
            if not claimed[j]:
                fixed[i], claimed[j] = true_labels[j], True
    return (labels, scores, kinds, fixed, true_labels, true_labels[taken],
            true_labels[~claimed])


def greedy_match(ious: np.ndarray, threshold: float = FOUND) -> np.ndarray:
    """Number of the object that each detection finds, -1 for none, ``(M, )``.

    Detections are in the order of their scores; each takes the object that it
    overlaps most, of those that are left. ``ious`` are ``(M, T)``.
    """
    left, matched = ious.copy(), np.full(len(ious), -1)
    for i, row in enumerate(left):
        j = row.argmax() if row.size else 0
        if row.size and row[j] >= threshold:
            matched[i], left[:, j] = j, 0
    return matched


def in_ignored_regions(image: dict, boxes: np.ndarray,
                       labels: np.ndarray) -> np.ndarray:
    """Whether half of a box lies in a difficult one of its class, or in a
    crowd, ``(M, )``."""
    regions = image['difficult']
    shares = bbox_overlaps(boxes, image['true_boxes'][regions], mode='iof')
    same = labels[:, None] == image['true_labels'][regions]
    return ((shares >= FOUND) & same).any(axis=1)


def mean_ap(labels: np.ndarray, scores: np.ndarray, right: np.ndarray,
            truths: np.ndarray) -> float:
    """Mean of COCO's AP, at 101 recalls, over the classes with an object."""
    values = [
        average_precision(scores[labels == i], right[labels == i], number)
        for i, number in enumerate(truths) if number
    ]
    return float(np.mean(values)) if values else np.nan


def average_precision(scores: np.ndarray, right: np.ndarray,
                      num_truths: int) -> float:
    """COCO's AP of the detections of a class, some of which are right."""
    hits = right[np.argsort(-scores, kind='stable')].cumsum()
    precision = hits / np.arange(1, len(hits) + 1)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(hits / num_truths, RECALLS)
    return float(np.append(highest, 0.)[places].mean())
