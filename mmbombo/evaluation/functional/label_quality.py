# Copyright (c) mmbombo contributors.
"""How good pseudo labels are, where the truth happens to be known."""
from typing import Dict, List, Optional

import numpy as np
from mmdet.evaluation import bbox_overlaps

from mmbombo.structures import IGNORE_INDEX

#: How the mask shows an object: as a component of its own, in one component
#: with others, or in pieces because something covers it.
SINGLE, TOUCHING, OCCLUDED = CASES = ('single', 'touching', 'occluded')


def connectivity(boxes: np.ndarray,
                 labels: np.ndarray,
                 rects: np.ndarray,
                 rect_labels: np.ndarray,
                 slack: float = 2.) -> np.ndarray:
    """How the components of a mask show each object.

    An object is ``touching`` if a component of its class spans it and another
    object of the class, ``single`` if one spans it alone, and otherwise
    ``occluded``: its pieces are components.

    Args:
        boxes (np.ndarray): True boxes ``(T, 4)``.
        labels (np.ndarray): Their classes ``(T, )``.
        rects (np.ndarray): Circumscribed rectangles ``(R, 4)``.
        rect_labels (np.ndarray): Their classes ``(R, )``.
        slack (float): Pixels by which a box may leave a rectangle: resizing
            boxes and maps rounds differently. Defaults to 2.

    Returns:
        np.ndarray: ``(T, )`` of :data:`CASES`.
    """
    low = (boxes[:, None, :2] >= rects[None, :, :2] - slack).all(axis=2)
    high = (boxes[:, None, 2:] <= rects[None, :, 2:] + slack).all(axis=2)
    inside = low & high & (labels[:, None] == rect_labels[None])
    crowded = inside.sum(axis=0) >= 2
    return np.select([(inside & crowded).any(axis=1),
                      inside.any(axis=1)], [TOUCHING, SINGLE], OCCLUDED)


class BoxQuality:
    """Agreement of pseudo boxes with true boxes, over images.

    Objects that a circumscribed rectangle must get wrong are also reported
    alone, see :func:`connectivity`.
    """

    def __init__(self) -> None:
        self.best_ious: List[float] = []
        self.cases: List[str] = []
        self.num_pseudo = 0
        self.num_right = 0

    def add(self, pseudo_boxes: np.ndarray, pseudo_labels: np.ndarray,
            boxes: np.ndarray, labels: np.ndarray, cases: np.ndarray) -> None:
        """Add an image of ``P`` pseudo boxes, and ``T`` true ones with
        :data:`CASES`."""
        self.num_pseudo += len(pseudo_boxes)
        self.cases += cases.tolist()
        if not len(pseudo_boxes) or not len(boxes):
            self.best_ious += [0.] * len(boxes)
            return
        ious = bbox_overlaps(boxes.astype(float), pseudo_boxes.astype(float))
        ious *= labels[:, None] == pseudo_labels[None]
        self.best_ious += ious.max(axis=1).tolist()
        self.num_right += int((ious.max(axis=0) >= .5).sum())

    def summary(self) -> Dict[str, float]:
        """``precision`` and ``recall`` at IoU 0.5, ``mean_iou`` of the true
        boxes and ``mean_iou_{case}``; what is undefined is left out."""
        ious, cases = np.array(self.best_ious), np.array(self.cases)
        summary = {}
        if self.num_pseudo:
            summary['precision'] = self.num_right / self.num_pseudo
        if len(ious):
            summary['recall'] = float((ious >= .5).mean())
            summary['mean_iou'] = float(ious.mean())
        for case in CASES:
            if case in self.cases:
                summary[f'mean_iou_{case}'] = float(ious[cases == case].mean())
        return summary


class MaskQuality:
    """Agreement of pseudo masks with true masks, over images."""

    def __init__(self, num_classes: int) -> None:
        self.confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
        self.num_pixels = 0
        self.num_limited = 0
        self.num_limited_right = 0

    def add(self,
            pseudo: np.ndarray,
            truth: np.ndarray,
            limited: Optional[np.ndarray] = None,
            allowed: Optional[np.ndarray] = None) -> None:
        """Add images.

        Args:
            pseudo (np.ndarray): Class ids ``(...)``, 255 where there is not
                one.
            truth (np.ndarray): Class ids ``(...)``, 255 where not known.
            limited (np.ndarray, optional): ``(...)`` bool, where not any
                class is possible. Defaults to None, as ``pseudo`` says.
            allowed (np.ndarray, optional): ``(...)`` bool, the true class is
                possible. Defaults to None.
        """
        known = truth != IGNORE_INDEX
        if limited is not None:
            several = limited & (pseudo == IGNORE_INDEX) & known
            self.num_limited += int(several.sum())
            self.num_limited_right += int((several & allowed).sum())
        labeled = known & (pseudo != IGNORE_INDEX)
        size = len(self.confusion)
        index = truth[labeled].astype(np.int64) * size + pseudo[labeled]
        self.confusion += np.bincount(
            index, minlength=size * size).reshape(size, size)
        self.num_pixels += int(known.sum())

    def summary(self) -> Dict[str, float]:
        """Share of ``labeled`` pixels, and their ``accuracy`` and ``mIoU``
        over the classes that occur.

        Of pixels that are left with several classes the share (``limited``)
        and how many of them are right (``limited_accuracy``). What is
        undefined is left out.
        """
        right = np.diag(self.confusion)
        union = self.confusion.sum(0) + self.confusion.sum(1) - right
        labeled = self.confusion.sum()
        summary = {}
        if labeled:
            summary = dict(
                labeled=float(labeled / self.num_pixels),
                accuracy=float(right.sum() / labeled),
                mIoU=float((right[union > 0] / union[union > 0]).mean()))
        if self.num_limited:
            summary.update(
                limited=self.num_limited / self.num_pixels,
                limited_accuracy=self.num_limited_right / self.num_limited)
        return summary
