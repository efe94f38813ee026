# Copyright (c) mmbombo contributors.
"""What counts as a valid ground-truth box."""
from typing import List, Optional, Sequence, Tuple

import numpy as np

#: How far, in pixels, a box may reach out of the image: annotation tools
#: round, and some count from 0 where VOC counts from 1.
OVERSHOOT = 1.0
#: Of boxes in a wrong unit nearly all look like it.
NEARLY_ALL = 0.95


def fit_box(
    box: Sequence[float], width: int, height: int
) -> Tuple[Optional[List[float]], Optional[str]]:
    """Clip a box that reaches out by at most :data:`OVERSHOOT`.

    Args:
        box (Sequence[float]): x1, y1, x2, y2 in pixels, where a box of one
            pixel has x2 = x1 + 1.
        width (int): Image width in pixels.
        height (int): Image height in pixels.

    Returns:
        tuple[list[float] | None, str | None]: The box and no complaint, or no
        box and what is wrong with it.
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    # `not <=` rather than `>`: a NaN is refused too.
    if not (x1 <= x2 and y1 <= y2):
        return None, 'is inverted'
    if (x1 < -OVERSHOOT or y1 < -OVERSHOOT or x2 > width + OVERSHOOT
            or y2 > height + OVERSHOOT):
        return None, f'is outside the {width}x{height} image'
    clipped = clip_box((x1, y1, x2, y2), width, height)
    if clipped is None:
        return None, 'is degenerate (no area)'
    return clipped, None


def clip_box(box: Sequence[float], width: int,
             height: int) -> Optional[List[float]]:
    """The part of a box that lies in its image.

    Args:
        box (Sequence[float]): x1, y1, x2, y2 in pixels.
        width (int): Image width in pixels.
        height (int): Image height in pixels.

    Returns:
        list[float] | None: x1, y1, x2, y2, or None if it has no area.
    """
    x1, y1, x2, y2 = (
        min(max(float(value), 0.), limit)
        for value, limit in zip(box, (width, height) * 2))
    # a NaN is no area either
    return [x1, y1, x2, y2] if x1 < x2 and y1 < y2 else None


def likely_cause(boxes: Sequence[Sequence[float]],
                 sizes: Sequence[Tuple[int, int]]) -> Optional[str]:
    """Say what is wrong with boxes as a whole.

    Args:
        boxes (Sequence): K boxes x, y, width, height, as COCO has them.
        sizes (Sequence[tuple[int, int]]): (width, height) of their images.

    Returns:
        str | None: The likely cause and what to do, or None if most boxes
        are in their image.
    """
    x, y, w, h = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T
    width, height = np.asarray(sizes, dtype=np.float64).reshape(-1, 2).T
    if not len(x):
        return None
    if np.mean(np.maximum.reduce([x, y, w, h]) <= 1) > NEARLY_ALL:
        return ('the boxes look like fractions of the image, where COCO\'s '
                'are pixels: convert them')
    outside = (x + w > width + OVERSHOOT) | (y + h > height + OVERSHOOT)
    if np.mean(outside) <= 0.5:
        return None
    corners = ((w > x) & (h > y) & (w <= width + OVERSHOOT) &
               (h <= height + OVERSHOOT))
    if np.mean(corners) > NEARLY_ALL:
        return ('the boxes look like corners [x1, y1, x2, y2], where COCO\'s '
                'are [x, y, width, height]: convert them')
    return ('most boxes reach out of their images, so perhaps these were '
            'scaled, cropped or turned after they were annotated: use those '
            'that were annotated, or scale the boxes too')
