# Copyright (c) mmbombo contributors.
"""Boxes that are tiny, listed twice or cut off, seen without the image."""
from itertools import combinations
from typing import Iterator, Sequence, Tuple

import numpy as np
from mmdet.evaluation import bbox_overlaps

from mmbombo.datasets.boxes import OVERSHOOT, clip_box
from .finding import Finding, Labels

#: Side in pixels of the square of the largest tiny box.
TINY_SIDE = 8
#: IoU from which two boxes are of one object.
SAME_BOX = .85
#: Largest depth of a sliver at the border, in lengths along it.
SLIVER = .2


def find_outside(instances: Sequence[dict],
                 labels: Labels) -> Iterator[Finding]:
    """Objects, as they are listed, whose boxes leave the image."""
    height, width = labels.shape
    for instance in instances:
        x1, y1, x2, y2 = box = instance['bbox']
        if min(x1, y1, width - x2, height - y2) < -OVERSHOOT:
            inside = clip_box(box, width, height) or (0, 0, 0, 0)
            area = max((x2 - x1) * (y2 - y1), 1)
            outside = 1 - np.prod(np.subtract(inside[2:], inside[:2])) / area
            mark = labels.mark(box, instance['bbox_label'])
            yield Finding('cut', 1 + outside,
                          f'{mark.text}, {100 * outside:.0f} % outside',
                          (mark, ))


def find_bad_boxes(labels: Labels) -> Iterator[Finding]:
    """Tiny boxes, slivers at the border, and pairs of one object."""
    for box, label in labels.objects():
        width, height = box[2:] - box[:2]
        mark, name = (labels.mark(box, label), ), labels.names[label]
        size = f'{name}, {width:.0f}x{height:.0f} pixels'
        if width * height < TINY_SIDE**2:
            yield Finding('tiny', 1 - np.sqrt(width * height) / TINY_SIDE,
                          size, mark)
        depth = sliver_depth(box, labels.shape)
        if depth < SLIVER:
            yield Finding('cut', 1 - depth, size, mark)
    objects = labels.objects()
    boxes = np.array([box for box, _ in objects]).reshape(-1, 4)
    ious = bbox_overlaps(boxes, boxes) if len(boxes) > 1 else None
    for i, j in combinations(range(len(boxes)), 2):
        if ious[i, j] >= SAME_BOX:
            marks = labels.mark(*objects[i]), labels.mark(*objects[j])
            yield Finding('duplicate', float(ious[i, j]),
                          ' and '.join(x.text for x in marks), marks)


def sliver_depth(box: np.ndarray, shape: Tuple[int, int]) -> float:
    """How far a box reaches in from the border that it touches, in lengths
    along it; infinite if it touches none, or both of two opposite ones."""
    x1, y1, x2, y2 = box
    height, width = shape
    depths = [np.inf]
    if (x1 <= 1) != (x2 >= width - 1):
        depths.append((x2 - x1) / (y2 - y1))
    if (y1 <= 1) != (y2 >= height - 1):
        depths.append((y2 - y1) / (x2 - x1))
    return min(depths)
