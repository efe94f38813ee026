# Copyright (c) mmbombo contributors.
"""Regions as pairs of a region and a superpixel that it holds."""
from typing import NamedTuple, Tuple

import numpy as np


class FittedRegions(NamedTuple):
    """Superpixels int64 (H, W), -1 where there is none, sorted pairs int64
    (2, K) and boxes float32 (R, 4), numbered from 0 on, none missing."""
    superpixels: np.ndarray
    pairs: np.ndarray
    boxes: np.ndarray


def fit_regions(superpixels: np.ndarray,
                pairs: np.ndarray,
                min_area: int = 1) -> FittedRegions:
    """What is left of regions on a map that was cropped or scaled.

    Superpixels without a pixel, regions of fewer than ``min_area`` pixels and
    those that have become the same as one before are left out. ``pairs`` are
    sorted by region, then superpixel.
    """
    present = np.bincount(superpixels.ravel() + 1) > 0
    present = np.append(present, np.zeros(pairs[1].max(initial=0) + 2, bool))
    present[0] = False
    table = np.where(present, np.cumsum(present) - 1, -1)
    numbers = table[superpixels + 1]
    pairs = pairs[:, present[pairs[1] + 1]]
    region, member = pairs[0], table[pairs[1] + 1]
    areas, extents = measure(numbers, present.sum())
    first = np.unique(region, return_index=True)[1]
    if not len(first):
        return FittedRegions(numbers, np.empty((2, 0), np.int64),
                             np.empty((0, 4), np.float32))
    large = np.add.reduceat(areas[member], first) >= min_area
    # equal sums of random numbers mean the same members
    codes = np.random.RandomState(0).randint(2**62, size=present.sum())
    sums = np.add.reduceat(codes[member], first)
    kept = np.zeros(len(first), bool)
    kept[np.unique(sums, return_index=True)[1]] = True
    kept &= large
    boxes = np.minimum.reduceat(extents[member], first)[kept]
    row = np.cumsum(np.diff(region, prepend=region[0]) > 0)
    pairs = np.stack([(np.cumsum(kept) - 1)[row], member])[:, kept[row]]
    return FittedRegions(numbers, pairs,
                         (boxes * [1, 1, -1, -1]).astype(np.float32))


def measure(numbers: np.ndarray, count: int) -> Tuple[np.ndarray, np.ndarray]:
    """Areas (S, ) of superpixels and extents (S, 4): x1, y1, -x2, -y2, of
    which the minimum is that of a union."""
    extents = np.zeros((count, 4), np.int64)
    for axis, flat in enumerate((numbers.T.ravel(), numbers.ravel())):
        place = np.arange(flat.size) // numbers.shape[axis]
        place, flat = place[flat >= 0], flat[flat >= 0]
        # of several values for an index the last one stays
        extents[flat[::-1], axis] = place[::-1]
        extents[flat, axis + 2] = -1 - place
    areas = np.bincount(numbers[numbers >= 0], minlength=count)
    return areas, extents
