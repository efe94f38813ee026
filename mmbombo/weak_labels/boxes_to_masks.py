# Copyright (c) mmbombo contributors.
"""Pseudo segmentation masks from boxes (Box-for-Mask).

The rule that all variants share: a complete box annotation says for certain
what is *outside* all boxes. Inside a box each variant makes its own guess.
The paper gives no details; the variants are our reconstruction, with ``box``
and ``box_i`` after "Simple Does It" (Khoreva et al., CVPR 2017).
"""
from inspect import signature
from typing import Callable, Dict, Iterable, Sequence, Tuple

import numpy as np

from mmbombo.structures import IGNORE_INDEX
from mmbombo.utils import UserError
from .grabcut import center, grabcut_foreground, window


def boxes_to_mask(image: np.ndarray,
                  boxes: np.ndarray,
                  labels: np.ndarray,
                  ignore_flags: np.ndarray,
                  det_to_seg: np.ndarray,
                  outside_id: int,
                  method: str = 'grabcut_ignore',
                  **options) -> np.ndarray:
    """Make the pseudo mask of one image.

    A pixel belongs to a box if its center, half a pixel right of and below
    its index, lies in it: left and top edge included, right and bottom edge
    not. Boxes are painted by decreasing area, so that small ones stay on top;
    the order in which they are given does not matter.

    Args:
        image (np.ndarray): (H, W, 3) uint8, BGR.
        boxes (np.ndarray): (K, 4) x1, y1, x2, y2 in pixels.
        labels (np.ndarray): (K,) detection labels.
        ignore_flags (np.ndarray): (K,) true for difficult and crowd boxes,
            and those of unlisted categories, of which no label is read.
            They, and boxes of a class without segmentation class, are painted
            as ignored.
        det_to_seg (np.ndarray): (D,) segmentation id of each detection label
            or -1, as :attr:`ClassMap.det_to_seg`.
        outside_id (int): Value outside all boxes, as
            :attr:`ClassMap.outside_id`.
        method (str): A key of :data:`METHODS`.
        **options: Of both GrabCut methods, those of
            :func:`grabcut_foreground`; the others have none.

    Returns:
        np.ndarray: (H, W) uint8 segmentation ids, 255 where ignored.

    Raises:
        ValueError: If the method or an option is unknown, the image is not
            (H, W, 3) uint8, or a box is not finite.
    """
    check_method(method, options)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f'the image must be (H, W, 3) uint8, got '
                         f'{image.shape} {image.dtype}')
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    if not np.isfinite(boxes).all():
        raise ValueError(f'boxes must be finite, got {boxes.tolist()}')
    seg_ids = np.asarray(det_to_seg)[np.asarray(labels, dtype=np.int64)]
    unknown = np.asarray(ignore_flags, dtype=bool) | (seg_ids < 0)
    seg_ids = np.where(unknown, IGNORE_INDEX, seg_ids).astype(np.uint8)

    rects = _pixels_inside(boxes, image.shape[:2])
    order = _painting_order(boxes, seg_ids)
    order = order[((rects[:, 2:] - rects[:, :2]) > 0).all(axis=1)[order]]
    mask = np.full(image.shape[:2], outside_id, dtype=np.uint8)
    METHODS[method](mask, image, rects[order], seg_ids[order], **options)
    return mask


def paint_box(mask: np.ndarray, image: np.ndarray, rects: np.ndarray,
              seg_ids: np.ndarray) -> None:
    """``box``: the filled boxes.

    Args:
        mask (np.ndarray): (H, W) uint8, painted in place.
        image (np.ndarray): (H, W, 3) uint8, not looked at.
        rects (np.ndarray): (K, 4) int x1, y1, x2, y2, exclusive at the right
            and bottom, not empty, in painting order.
        seg_ids (np.ndarray): (K,) uint8, 255 for boxes to be ignored.
    """
    for rect, seg_id in zip(rects, seg_ids):
        mask[window(rect)] = seg_id


def paint_box_center(mask: np.ndarray, image: np.ndarray, rects: np.ndarray,
                     seg_ids: np.ndarray) -> None:
    """``box_i``: the central 20 % of each box; the rest of it is ignored.

    See :func:`paint_box` for the arguments.
    """
    for rect, seg_id in zip(rects, seg_ids):
        mask[window(rect)] = IGNORE_INDEX
        mask[window(center(rect))] = seg_id


def paint_grabcut(mask: np.ndarray, image: np.ndarray, rects: np.ndarray,
                  seg_ids: np.ndarray, **options) -> None:
    """``grabcut``: GrabCut's foreground; the rest of a box is outside.

    See :func:`paint_box` for the arguments and :func:`grabcut_foreground` for
    the options.
    """
    for rect, seg_id in zip(rects, seg_ids):
        if seg_id == IGNORE_INDEX:
            mask[window(rect)] = IGNORE_INDEX
        else:
            foreground = grabcut_foreground(image, rect, **options)
            mask[window(rect)][foreground] = seg_id


def paint_grabcut_ignore(mask: np.ndarray, image: np.ndarray,
                         rects: np.ndarray, seg_ids: np.ndarray,
                         **options) -> None:
    """``grabcut_ignore``: GrabCut's foreground; the rest is ignored.

    What is foreground of a large box and background of a small one inside it
    keeps the large one's class. See :func:`paint_grabcut`.
    """
    for rect in rects:
        mask[window(rect)] = IGNORE_INDEX
    paint_grabcut(mask, image, rects, seg_ids, **options)


#: Variant name -> function that paints all boxes of one image.
METHODS: Dict[str, Callable[..., None]] = {
    'box': paint_box,
    'box_i': paint_box_center,
    'grabcut': paint_grabcut,
    'grabcut_ignore': paint_grabcut_ignore,
}


def check_method(method: str, options: Iterable[str]) -> None:
    """Check that there is such a method with such options.

    Args:
        method (str): Name of a method.
        options (Iterable[str]): Names of options.

    Raises:
        ValueError: If there is not; the message names those that there are.
    """
    if method not in METHODS:
        raise UserError(f"unknown pseudo mask method '{method}'; known are "
                        f'{sorted(METHODS)}')
    known: Sequence[str] = ()
    if method.startswith('grabcut'):
        known = list(signature(grabcut_foreground).parameters)[2:]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise UserError(f"pseudo mask method '{method}' has no option(s) "
                        f'{unknown}; it has {list(known)}')


def _pixels_inside(boxes: np.ndarray, shape: Tuple[int, int]) -> np.ndarray:
    """(K, 4) int ranges of the pixels whose center is in the box."""
    limit = np.array([shape[1], shape[0]] * 2)
    return np.clip(np.ceil(boxes - 0.5), 0, limit).astype(np.int64)


def _painting_order(boxes: np.ndarray, seg_ids: np.ndarray) -> np.ndarray:
    """By decreasing area; ties by y2, x2, y1, x1, then class, ignored last."""
    area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    return np.lexsort((seg_ids, *boxes.T, -area))
