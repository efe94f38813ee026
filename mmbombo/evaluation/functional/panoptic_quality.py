# Copyright (c) mmbombo contributors.
"""Panoptic quality of one image, without ``panopticapi``."""
import numpy as np

#: Class of pixels of no segment.
VOID = -1


def match_segments(truth: np.ndarray, pred: np.ndarray,
                   truth_classes: np.ndarray, pred_classes: np.ndarray,
                   crowd: np.ndarray, num_classes: int) -> np.ndarray:
    """Match segments as COCO does, by an IoU above one half.

    Args:
        truth (np.ndarray): Segment of each pixel ``(H, W)``, in 0..T-1.
        pred (np.ndarray): The same of the prediction, in 0..P-1.
        truth_classes (np.ndarray): ``(T, )``, or :data:`VOID`.
        pred_classes (np.ndarray): ``(P, )``, or :data:`VOID`.
        crowd (np.ndarray): ``(T, )`` bool: several objects, not told apart,
            that are neither found nor missed.
        num_classes (int): Number of classes, C.

    Returns:
        np.ndarray: ``(4, C)``: sum of the IoUs of matches, matches,
        predictions without and segments without a match.
    """
    shape = len(truth_classes), len(pred_classes)
    both = np.bincount(
        (truth.astype(np.int64) * shape[1] + pred).ravel(),
        minlength=shape[0] * shape[1]).reshape(shape)
    areas, pred_areas = both.sum(1), both.sum(0)
    unknown = both[truth_classes == VOID].sum(0)
    union = areas[:, None] + pred_areas - both - unknown
    same = (truth_classes[:, None] == pred_classes) & (pred_classes != VOID)
    iou = both / np.maximum(union, 1)
    match = same & ~crowd[:, None] & (iou > .5)
    ignored = unknown + (both * (same & crowd[:, None])).sum(0)
    missed = (truth_classes != VOID) & ~crowd & ~match.any(1)
    wrong = (pred_classes != VOID) & ~match.any(0) & (
        ignored <= .5 * pred_areas)

    def count(classes, weights=None):
        return np.bincount(classes, weights, minlength=num_classes)

    rows, columns = np.nonzero(match)
    return np.stack([
        count(truth_classes[rows], iou[rows, columns]),
        count(truth_classes[rows]),
        count(pred_classes[wrong]),
        count(truth_classes[missed])
    ])
