# Copyright (c) mmbombo contributors.
"""Boxes that are tiny, listed twice or cut off."""
from itertools import combinations
from typing import Iterator, Sequence

import numpy as np
from mmdet.evaluation import bbox_overlaps

from mmbombo.datasets.boxes import OVERSHOOT, clip_box
from .finding import Finding, Labels

#: Side in pixels of the square of the largest tiny box; IoU from which two
#: are of one object; largest depth of a sliver, in lengths along the border.
TINY_SIDE, SAME_BOX, SLIVER = 8, .85, .2


def find_outside(instances: Sequence[dict],
                 labels: Labels) -> Iterator[Finding]:
    """Objects, as they are listed, whose boxes leave the image."""
    height, width = labels.shape
    for instance in instances:
        x1, y1, x2, y2 = box = instance['bbox']
        if min(x1, y1, width - x2, height - y2) < -OVERSHOOT:
            inside = clip_box(box, width, height) or (0, 0, 0, 0)
            outside = 1 - np.prod(np.subtract(inside[2:], inside[:2])) / max(
                (x2 - x1) * (y2 - y1), 1)
            mark = labels.mark(box, instance['bbox_label'])
            yield Finding('cut', 1 + outside,
                          f'{mark.text}, {outside:.0%} outside', (mark, ))


def find_bad_boxes(labels: Labels) -> Iterator[Finding]:
    """Tiny boxes, slivers at the border, and pairs of one object."""
    height, width = labels.shape
    for (x1, y1, x2, y2), label in labels.objects():
        mark = labels.mark((x1, y1, x2, y2), label)
        text = f'{mark.text}, {x2 - x1:.0f}x{y2 - y1:.0f} pixels'
        side = np.sqrt((x2 - x1) * (y2 - y1))
        if side < TINY_SIDE:
            yield Finding('tiny', 1 - side / TINY_SIDE, text, (mark, ))
        depth = np.inf
        if (x1 <= 1) != (x2 >= width - 1):  # not at both borders
            depth = (x2 - x1) / (y2 - y1)
        if (y1 <= 1) != (y2 >= height - 1):
            depth = min(depth, (y2 - y1) / (x2 - x1))
        if depth < SLIVER:
            yield Finding('cut', 1 - depth, text, (mark, ))
    for one, other in combinations(labels.objects(), 2):
        iou = float(bbox_overlaps(one[0][None], other[0][None])[0, 0])
        if iou >= SAME_BOX:
            marks = labels.mark(*one), labels.mark(*other)
            yield Finding('duplicate', iou,
                          ' and '.join(x.text for x in marks), marks)
