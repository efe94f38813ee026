# Copyright (c) mmbombo contributors.
"""Connected components of a segmentation map (first step of Mask-for-Box)."""
from typing import Dict, List, Sequence, Tuple

import cv2
import numpy as np

_CONNECTIVITY = 8
#: Largest area of a piece, in areas of the component that it may belong to.
_PIECE = 0.1


def label_components(
        seg_map: np.ndarray,
        min_area: float,
        thing_ids: Sequence[int],
        max_components: int = 100) -> Tuple[np.ndarray, Dict[str, np.ndarray]]:
    """Label the 8-connected components of each class.

    A component smaller than ``min_area`` is too small to be a target and is
    marked as ignored, unless all components of its class in this image are
    (as the authors' precursor of Mask-for-Box does).

    The table is bounded: of more than ``max_components`` components the
    smallest are merged, per class, into one ignored row that stands for all
    of them, with their joint rectangle and area. So speckle costs at most one
    row per class, and its pixels are still known as ignored.

    Args:
        seg_map (np.ndarray): (H, W) uint8 segmentation ids.
        min_area (float): Smallest area, in pixels, of a target.
        thing_ids (Sequence[int]): Segmentation ids to label: those with a
            detection class.
        max_components (int): Most components with a row of their own.
            Defaults to 100.

    Returns:
        tuple: ``component_map`` (H, W) int16, 0 where there is none and row
        number + 1 elsewhere, and the table, a dict of

        - labels (K,) int64: segmentation id.
        - boxes (K, 4) float32: x1, y1, x2, y2 in pixels, where x2 and y2 are
          the last column and row + 1.
        - areas (K,) float32: pixels.
        - ignored (K,) bool: not to be used as a target.
        - pieces (K,) bool: perhaps a piece of an object that is occluded. A
          component of its class with ten times its area, or more, adjoins
          the same component of another class. Across pixels without a class,
          such as VOC's borders, nothing adjoins.

        Rows that are not ignored come first, larger ones first among them.

    Raises:
        ValueError: If ``seg_map`` is not (H, W) uint8.
    """
    if seg_map.ndim != 2 or seg_map.dtype != np.uint8:
        raise ValueError(f'the segmentation map must be (H, W) uint8, got '
                         f'{seg_map.shape} {seg_map.dtype}')
    raw, labels, stats = _label_classes(seg_map, thing_ids)
    areas = stats[:, cv2.CC_STAT_AREA]
    ignored = _too_small(labels, areas, min_area)
    row_of = np.empty(len(labels), dtype=np.int64)
    row_of[np.lexsort((labels, -areas, ignored))] = np.arange(len(labels))
    row_of = _merge_overflow(row_of, labels, max_components)

    table = _table(row_of, labels, stats, ignored, max_components)
    lookup = np.concatenate([[0], row_of + 1]).astype(np.int16)
    component_map = lookup[raw]
    table['pieces'] = _pieces(component_map, table)
    return component_map, table


def _label_classes(
        seg_map: np.ndarray, thing_ids: Sequence[int]
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number the components of all classes 1, 2, ... in one map ``(H, W)``;
    their L segmentation ids, and OpenCV's statistics ``(L, 5)``."""
    raw = np.zeros(seg_map.shape, dtype=np.int32)
    labels: List[np.ndarray] = [np.zeros(0, dtype=np.int64)]
    stats: List[np.ndarray] = [np.zeros((0, 5), dtype=np.int64)]
    present = np.flatnonzero(np.bincount(seg_map.ravel(), minlength=256))
    num_found = 0
    for seg_id in sorted(set(thing_ids) & set(present.tolist())):
        is_class = seg_map == seg_id
        # The rest of the map would be the larger part of the work.
        x, y, width, height = cv2.boundingRect(is_class.view(np.uint8))
        view = slice(y, y + height), slice(x, x + width)
        num, class_map, class_stats, _ = cv2.connectedComponentsWithStats(
            is_class[view].view(np.uint8), connectivity=_CONNECTIVITY)
        # Row 0 of OpenCV's statistics is what is not of the class.
        np.add(class_map, num_found, out=raw[view], where=is_class[view])
        labels.append(np.full(num - 1, seg_id, dtype=np.int64))
        stats.append(class_stats[1:].astype(np.int64) + (x, y, 0, 0, 0))
        num_found += num - 1
    return raw, np.concatenate(labels), np.concatenate(stats)


def _too_small(labels: np.ndarray, areas: np.ndarray,
               min_area: float) -> np.ndarray:
    """(L,) bool: smaller than the limit, beside a larger one of its class."""
    large = areas >= min_area
    has_large = np.zeros(256, dtype=bool)
    has_large[labels[large]] = True
    return ~large & has_large[labels]


def _merge_overflow(row_of: np.ndarray, labels: np.ndarray,
                    max_components: int) -> np.ndarray:
    """Give the components beyond the limit one common row per class."""
    overflow = row_of >= max_components
    _, common = np.unique(labels[overflow], return_inverse=True)
    row_of = row_of.copy()
    row_of[overflow] = max_components + common.reshape(-1)
    return row_of


def _table(row_of: np.ndarray, labels: np.ndarray, stats: np.ndarray,
           ignored: np.ndarray, max_components: int) -> Dict[str, np.ndarray]:
    """Collect the components by row."""
    num_rows = int(row_of.max(initial=-1)) + 1
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right = left + stats[:, cv2.CC_STAT_WIDTH]
    bottom = top + stats[:, cv2.CC_STAT_HEIGHT]

    row_labels = np.zeros(num_rows, dtype=np.int64)
    row_labels[row_of] = labels
    # of the type of the statistics: `at` is slow where it has to convert
    boxes = np.empty((4, num_rows), dtype=stats.dtype)
    boxes[:2], boxes[2:] = np.iinfo(stats.dtype).max, 0
    np.minimum.at(boxes[0], row_of, left)
    np.minimum.at(boxes[1], row_of, top)
    np.maximum.at(boxes[2], row_of, right)
    np.maximum.at(boxes[3], row_of, bottom)
    areas = np.bincount(
        row_of, weights=stats[:, cv2.CC_STAT_AREA], minlength=num_rows)
    row_ignored = np.arange(num_rows) >= max_components
    row_ignored[row_of[ignored]] = True
    return dict(
        labels=row_labels,
        boxes=np.ascontiguousarray(boxes.T, dtype=np.float32),
        areas=areas.astype(np.float32),
        ignored=row_ignored)


def _pieces(component_map: np.ndarray, table: Dict[str,
                                                   np.ndarray]) -> np.ndarray:
    """(K,) bool, see :func:`label_components`."""
    labels, areas = table['labels'], table['areas']
    target = ~table['ignored']
    whole = (labels[:, None] == labels) & target & (
        areas[:, None] <= _PIECE * areas)
    if not whole.any():
        return whole.any(axis=1)
    beside = _adjoining(component_map, len(labels)) & target & (
        labels[:, None] != labels)
    beside = beside.astype(np.float32)  # multiplied faster than bool
    return (whole & (beside @ beside.T > 0)).any(axis=1)


def _adjoining(component_map: np.ndarray, num: int) -> np.ndarray:
    """(num, num) bool: pixels of the two components are neighbors."""
    found = np.zeros((num + 1, num + 1), dtype=bool)
    up, down = component_map[:-1], component_map[1:]
    for one, other in ((up, down), (up[:, 1:], down[:, :-1]),
                       (up[:, :-1], down[:, 1:]),
                       (component_map[:, 1:], component_map[:, :-1])):
        edge = one != other
        found[one[edge], other[edge]] = True
    return (found | found.T)[1:, 1:]
