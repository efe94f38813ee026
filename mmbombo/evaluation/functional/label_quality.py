# Copyright (c) mmbombo contributors.
"""How good pseudo labels are, where the truth happens to be known."""
from typing import Callable, Dict, List, Optional, Sequence

import numpy as np
from mmdet.evaluation import bbox_overlaps

from mmbombo.structures import IGNORE_INDEX

#: How the mask shows an object: as a component of its own, in one component
#: with others, or in pieces because something covers it.
SINGLE, TOUCHING, OCCLUDED = CASES = ('single', 'touching', 'occluded')
#: Areas of boxes in pixels, from and below, with the names of COCO.
SIZES = dict(small=(0, 32**2), medium=(32**2, 96**2), large=(96**2, np.inf))

#: A value ``(n, )`` of each box, by name.
Columns = Dict[str, np.ndarray]
#: Group ('all', 'size', 'case', 'class') and name to values.
Grouped = Dict[str, Dict[str, Dict[str, float]]]


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
        self.objects: List[Columns] = []
        self.targets: List[Columns] = []

    def add(self,
            pseudo_boxes: np.ndarray,
            pseudo_labels: np.ndarray,
            boxes: np.ndarray,
            labels: np.ndarray,
            cases: np.ndarray,
            ignored: Optional[np.ndarray] = None) -> None:
        """Add an image.

        Args:
            pseudo_boxes (np.ndarray): ``(P, 4)``.
            pseudo_labels (np.ndarray): ``(P, )``.
            boxes (np.ndarray): True boxes ``(T, 4)``.
            labels (np.ndarray): ``(T, )``.
            cases (np.ndarray): ``(T, )`` of :data:`CASES`.
            ignored (np.ndarray, optional): ``(T, )`` bool, objects about
                which nothing is said. Defaults to None, none.
        """
        boxes, pseudo_boxes = boxes.astype(float), pseudo_boxes.astype(float)
        # a target of no object, and no target of an object
        ious = np.zeros((len(boxes) + 1, len(pseudo_boxes) + 1))
        if len(boxes) and len(pseudo_boxes):
            ious[1:, 1:] = bbox_overlaps(boxes, pseudo_boxes)
            ious[1:, 1:] *= labels[:, None] == pseudo_labels[None]
        best = ious.max(axis=1)[1:]
        if ignored is None:
            ignored = np.zeros(len(boxes), dtype=bool)
        self.objects.append(
            _columns(
                boxes, labels, cases, iou=best, ignored=ignored & (best < .5)))
        # that of the object that it shows best
        cases = np.array(['', *cases])[ious.argmax(axis=0)[1:]]
        right = ious.max(axis=0)[1:] >= .5
        self.targets.append(
            _columns(pseudo_boxes, pseudo_labels, cases, right=right))

    def summary(self) -> Dict[str, float]:
        """``precision`` and ``recall`` at IoU 0.5, ``mean_iou`` of the true
        boxes and ``mean_iou_{case}``; what is undefined is left out."""
        groups = self.by_group()
        kept = ('precision', 'recall', 'mean_iou')
        values = groups.get('all', {}).get('all', {})
        summary = {key: values[key] for key in kept if key in values}
        for case, values in groups.get('case', {}).items():
            if 'mean_iou' in values:
                summary[f'mean_iou_{case}'] = values['mean_iou']
        return summary

    def by_group(self, classes: Sequence[str] = ()) -> Grouped:
        """The same by size, case and class, and of the objects that no target
        shows the share that is ``ignored`` instead.

        Targets are sorted by their own size and class, and by the case of the
        object that they show best.
        """

        def measure(objects: Columns, targets: Columns) -> dict:
            values: Dict[str, float] = dict(
                objects=len(objects['label']), targets=len(targets['label']))
            if values['targets']:
                values['precision'] = float(targets['right'].mean())
            if values['objects']:
                values.update(
                    recall=float((objects['iou'] >= .5).mean()),
                    mean_iou=float(objects['iou'].mean()),
                    ignored=float(objects['ignored'].mean()))
            return values

        return _by_group(measure, classes, self.objects, self.targets)


class MaskQuality:
    """Agreement of pseudo masks with true masks, over images."""

    def __init__(self, num_classes: int) -> None:
        self.confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
        #: true pixels of each class without a label
        self.unlabeled = np.zeros(num_classes, dtype=np.int64)
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
        missed = truth[known & (pseudo == IGNORE_INDEX)]
        self.unlabeled += np.bincount(missed, minlength=size)

    def summary(self) -> Dict[str, float]:
        """Share of ``labeled`` pixels, their ``accuracy``, ``mIoU`` and
        ``precision`` over the classes that pseudo masks name, and the
        ``recall`` of all pixels over the classes that there are.

        Of pixels that are left with several classes the share (``limited``)
        and how many of them are right (``limited_accuracy``). What is
        undefined is left out.
        """
        labeled = self.confusion.sum()
        right, named = np.diag(self.confusion), self.confusion.sum(axis=0)
        true = self.confusion.sum(axis=1) + self.unlabeled
        summary = {}
        if labeled:
            summary = dict(
                labeled=float(labeled / true.sum()),
                accuracy=float(right.sum() / labeled),
                mIoU=float(np.mean(list(self.class_ious().values()))),
                precision=float((right[named > 0] / named[named > 0]).mean()),
                recall=float((right[true > 0] / true[true > 0]).mean()))
        if self.num_limited:
            summary.update(
                limited=self.num_limited / true.sum(),
                limited_accuracy=self.num_limited_right / self.num_limited)
        return summary

    def class_ious(self) -> Dict[int, float]:
        """IoU on labeled pixels of each class id that pseudo masks name.

        What no box marks, such as "road", is mostly not named: its pixels
        count as mistakes of others.
        """
        right = np.diag(self.confusion)
        union = self.confusion.sum(0) + self.confusion.sum(1) - right
        return {
            int(i): float(right[i] / union[i])
            for i in np.flatnonzero(self.confusion.sum(axis=0))
        }


class ForegroundQuality:
    """Agreement of pseudo masks with true masks in each box, over images."""

    def __init__(self) -> None:
        self.objects: List[Columns] = []

    def add(self, pseudo: np.ndarray, pseudo_shows: np.ndarray,
            truth: np.ndarray, true_shows: np.ndarray, boxes: np.ndarray,
            labels: np.ndarray, cases: np.ndarray) -> None:
        """Add an image.

        Args:
            pseudo (np.ndarray): ``(H, W)``, a row of ``pseudo_shows``.
            pseudo_shows (np.ndarray): ``(256, D)`` bool, the detection
                classes of which one is there for certain.
            truth (np.ndarray): Class ids ``(H, W)``, 255 where not known.
            true_shows (np.ndarray): ``(256, D)`` bool, the detection classes
                that an id shows.
            boxes (np.ndarray): True boxes ``(T, 4)``.
            labels (np.ndarray): ``(T, )``.
            cases (np.ndarray): ``(T, )`` of :data:`CASES`.
        """
        counts = np.zeros((len(boxes), 3), dtype=int)
        # a pixel belongs to a box if its center does
        edges = np.ceil(boxes - 0.5).clip(0).astype(int)
        for row, label, (x1, y1, x2, y2) in zip(counts, labels, edges):
            ids = truth[y1:y2, x1:x2]
            is_true = true_shows[ids, label]
            is_pseudo = pseudo_shows[pseudo[y1:y2, x1:x2], label]
            is_pseudo &= ids != IGNORE_INDEX
            row[:] = is_pseudo.sum(), is_true.sum(), (is_pseudo
                                                      & is_true).sum()
        pixels = dict(zip(('pseudo', 'true', 'both'), counts.T))
        self.objects.append(_columns(boxes, labels, cases, **pixels))

    def by_group(self, classes: Sequence[str] = ()) -> Grouped:
        """``mean_iou`` of boxes, and ``precision`` and ``recall`` of their
        foreground pixels, by size, case and class."""

        def measure(objects: Columns) -> Dict[str, float]:
            values: Dict[str, float] = dict(objects=len(objects['label']))
            pseudo, true, both = (
                objects[key] for key in ('pseudo', 'true', 'both'))
            union = pseudo + true - both
            if union.any():
                ious = both[union > 0] / union[union > 0]
                values['mean_iou'] = float(ious.mean())
            if pseudo.any():
                values['precision'] = float(both.sum() / pseudo.sum())
            if true.any():
                values['recall'] = float(both.sum() / true.sum())
            return values

        return _by_group(measure, classes, self.objects)


def _columns(boxes: np.ndarray, labels: np.ndarray, cases: np.ndarray,
             **columns: np.ndarray) -> Columns:
    """What is known of the boxes of an image."""
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    return dict(label=labels, case=cases, area=width * height, **columns)


def _by_group(measure: Callable[..., Dict[str, float]], classes: Sequence[str],
              *tables: List[Columns]) -> Grouped:
    """Measure the rows of all tables, and those of each group that has any."""
    if not tables[0]:
        return {}
    joined = [{
        key: np.concatenate([part[key] for part in parts])
        for key in parts[0]
    } for parts in tables]
    members = [_members(table, classes) for table in joined]
    grouped: Grouped = {}
    for group, names in members[0].items():
        grouped[group] = {}
        for name in names:
            chosen = [x[group][name] for x in members]
            if any(x.any() for x in chosen):
                grouped[group][name] = measure(*({
                    key: values[rows]
                    for key, values in table.items()
                } for table, rows in zip(joined, chosen)))
    return grouped


def _members(table: Columns,
             classes: Sequence[str]) -> Dict[str, Dict[str, np.ndarray]]:
    """Group and name to the rows ``(n, )`` bool that belong there."""
    area = table['area']
    return dict(
        all=dict(all=np.ones(len(area), dtype=bool)),
        size={
            name: (area >= low) & (area < high)
            for name, (low, high) in SIZES.items()
        },
        case={case: table['case'] == case
              for case in CASES},
        **{
            'class': {
                name: table['label'] == label
                for label, name in enumerate(classes)
            }
        })
