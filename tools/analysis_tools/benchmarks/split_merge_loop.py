# Copyright (c) mmbombo contributors.
"""``refine_boxes`` as one would first write it: a NumPy loop.

The rules are those of :mod:`mmbombo.weak_labels.masks_to_boxes`; images,
components and predictions are visited one after the other, with NumPy for the
table of overlaps and for the pixels of a component.
"""
from typing import Dict, List, Tuple

import numpy as np


class Image:
    """One image on the way through the steps.

    Args:
        component_map (np.ndarray): (H, W) int.
        comps (tuple): boxes (K, 4), labels (K,), areas (K,); all usable.
        preds (tuple): boxes (P, 4), scores (P,), labels (P,).
        compatible (np.ndarray): (S, D) bool.
        options (dict): Thresholds, as of ``refine_boxes``.
    """

    def __init__(self, component_map: np.ndarray, comps: Tuple, preds: Tuple,
                 compatible: np.ndarray, options: Dict[str, float]) -> None:
        self.component_map = component_map
        self.options = options
        boxes, labels, areas = comps
        order = np.lexsort((labels, *boxes.T[::-1], -areas))
        self.numbers = order + 1
        self.boxes = boxes[order].astype(float)
        self.classes = compatible[labels[order]]

        boxes, scores, labels = preds
        keep = scores > options['score_thr']
        boxes, scores, labels = boxes[keep], scores[keep], labels[keep]
        boxes = boxes.astype(float)
        order = np.lexsort((labels, *boxes.T[::-1], -_area(boxes), -scores))
        self.preds, self.labels = boxes[order], labels[order]

        inter = _intersection(self.preds, self.boxes)
        area_p, area_k = _area(self.preds)[:, None], _area(self.boxes)[None]
        self.of_pred, self.of_comp = inter / area_p, inter / area_k
        self.iou = inter / (area_p + area_k - inter)
        self.fits = self.classes[:, self.labels].T
        self.free_pred = np.ones(len(self.preds), bool)
        self.free_comp = self.classes.any(axis=1)
        self.targets: List[Tuple] = []
        self.regions: List[Tuple] = []

    def refine(self) -> Tuple[List[Tuple], List[Tuple]]:
        """Targets (label, quality, box) and regions (classes, box)."""
        self._split()
        self._merge()
        self._match()
        self._keep()
        return sorted(self.targets), sorted(self.regions)

    def _target(self, label: int, box: np.ndarray) -> None:
        box = np.asarray(box, dtype=float)
        same = self.preds[self.labels == label]
        inter = _intersection(box[None], same)[0]
        union = _area(box[None])[0] + _area(same) - inter
        quality = np.max(inter / union, initial=0.)
        self.targets.append((int(label), float(np.float32(quality)),
                             *box.tolist()))

    def _region(self, comp: int, box: np.ndarray) -> None:
        self.regions.append((tuple(np.flatnonzero(self.classes[comp])),
                             *np.asarray(box, dtype=float).tolist()))

    def _split(self) -> None:
        members: Dict[int, List[int]] = {}
        inside = self.fits & (self.of_pred >= self.options['containment_thr'])
        for pred in range(len(self.preds)):
            if inside[pred].any():
                iou = np.where(inside[pred], self.iou[pred], -1)
                members.setdefault(int(iou.argmax()), []).append(pred)
        for comp, preds in members.items():
            chosen, undecided = self._drop_overlapping(preds)
            if undecided:
                self._region(comp, self.boxes[comp])
                self.free_comp[comp] = False
                self.free_pred[preds] = False
                continue
            chosen = chosen[:self.options['max_splits']]
            if len(chosen) >= 2:
                self._split_component(comp, chosen)

    def _drop_overlapping(self, preds: List[int]) -> Tuple[List[int], bool]:
        boxes = self.preds[preds]
        inter, area = _intersection(boxes, boxes), _area(boxes)
        clash = inter / (area[:, None] + area - inter) >= self.options[
            'iou_thr']
        clash |= inter / np.minimum(
            area[:, None], area) >= self.options['containment_thr']
        taken, left = [], list(range(len(preds)))
        for _ in range(self.options['rounds']):
            new = [a for a in left if not any(clash[a, b] for b in left
                                              if b < a)]
            taken += new
            left = [a for a in left if a not in new
                    and not any(clash[a, b] for b in new if b < a)]
        return [preds[a] for a in sorted(taken)], bool(left)

    def _split_component(self, comp: int, chosen: List[int]) -> None:
        ys, xs = np.nonzero(self.component_map == self.numbers[comp])
        distances = []
        for x1, y1, x2, y2 in self.preds[chosen]:
            dx = (((xs + .5) - (x1 + x2) / 2) / (x2 - x1))**2
            dy = (((ys + .5) - (y1 + y2) / 2) / (y2 - y1))**2
            dx, dy = dx.astype(np.float32), dy.astype(np.float32)
            distances.append(dx + dy + (np.maximum(dx, dy) > .25))
        owner = np.argmin(distances, axis=0)
        covered = np.min(distances, axis=0) < 1
        groups = [owner == slot for slot in range(len(chosen))]
        large = [group.sum() >= max(1, self.options['min_area'])
                 for group in groups]
        if sum(large) < 2 or covered.mean() < self.options['cover_thr']:
            return
        self.free_comp[comp] = False
        self.free_pred[chosen] = False
        for pred, group, is_large in zip(chosen, groups, large):
            if not group.any():
                continue
            x, y = xs[group], ys[group]
            box = (x.min(), y.min(), x.max() + 1, y.max() + 1)
            if is_large:
                self._target(self.labels[pred], box)
            else:
                self._region(comp, box)

    def _merge(self) -> None:
        for _ in range(self.options['rounds']):
            groups = {}
            for pred in np.flatnonzero(self.free_pred):
                comps = np.flatnonzero(
                    self.fits[pred] & self.free_comp &
                    (self.of_comp[pred] >= self.options['containment_thr']))
                if len(comps) < 2:
                    continue
                boxes = self.boxes[comps]
                joint = np.r_[boxes[:, :2].min(0), boxes[:, 2:].max(0)][None]
                box = self.preds[pred:pred + 1]
                inter = _intersection(joint, box)[0, 0]
                union = _area(joint)[0] + _area(box)[0] - inter
                if inter / union >= self.options['iou_thr']:
                    groups[pred] = set(comps), joint[0]
            for pred, (comps, joint) in groups.items():
                if any(groups[other][0] & comps for other in groups
                       if other < pred):
                    continue
                self._target(self.labels[pred], joint)
                self.free_pred[pred] = False
                self.free_comp[list(comps)] = False

    def _match(self) -> None:
        close = self.fits & (self.iou >= self.options['iou_thr'])
        for _ in range(self.options['rounds']):
            wanted: Dict[int, int] = {}
            for pred in np.flatnonzero(self.free_pred):
                allowed = close[pred] & self.free_comp
                if allowed.any():
                    iou = np.where(allowed, self.iou[pred], -1)
                    wanted.setdefault(int(iou.argmax()), pred)
            for comp, pred in wanted.items():
                self._target(self.labels[pred], self.boxes[comp])
                self.free_pred[pred] = self.free_comp[comp] = False

    def _keep(self) -> None:
        for comp in np.flatnonzero(self.free_comp):
            classes = np.flatnonzero(self.classes[comp])
            if len(classes) == 1:
                self._target(classes[0], self.boxes[comp])
            else:
                self._region(comp, self.boxes[comp])


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return (high - low).clip(min=0).prod(axis=2)
