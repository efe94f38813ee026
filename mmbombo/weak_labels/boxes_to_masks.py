# Copyright (c) mmbombo contributors.
"""Pseudo segmentation masks from boxes (Box-for-Mask).

The rule that all variants share: a complete box annotation says for certain
what is *outside* all boxes. Inside a box each variant makes its own guess.
The paper gives no details; the variants are our reconstruction, with ``box``
and ``box_i`` after "Simple Does It" (Khoreva et al., CVPR 2017).
"""
from typing import Callable, Dict, Optional, Tuple

import cv2
import numpy as np

from .class_map import IGNORE_INDEX

#: Share of the box area that ``box_i`` trusts.
CENTRE_AREA = 0.2
#: OpenCV's GrabCut fits 5 Gaussians to either side.
_MIN_SAMPLES = 5


def boxes_to_mask(image: np.ndarray,
                  boxes: np.ndarray,
                  labels: np.ndarray,
                  ignore_flags: np.ndarray,
                  det_to_seg: np.ndarray,
                  outside_id: int,
                  method: str = 'grabcut_ignore',
                  **options) -> np.ndarray:
    """Make the pseudo mask of one image.

    A pixel belongs to a box if its centre, half a pixel right of and below
    its index, lies in it: left and top edge included, right and bottom edge
    not. Boxes are painted by decreasing area, so that small ones stay on top;
    the order in which they are given does not matter.

    Args:
        image (np.ndarray): (H, W, 3) uint8, BGR.
        boxes (np.ndarray): (K, 4) x1, y1, x2, y2 in pixels.
        labels (np.ndarray): (K,) detection labels.
        ignore_flags (np.ndarray): (K,) true for difficult and crowd boxes.
            They, and boxes of a class without segmentation class, are painted
            as ignored.
        det_to_seg (np.ndarray): (D,) segmentation id of each detection label
            or -1, as :attr:`ClassMap.det_to_seg`.
        outside_id (int): Value outside all boxes, as
            :attr:`ClassMap.outside_id`.
        method (str): A key of :data:`METHODS`.
        **options: Options of the method.

    Returns:
        np.ndarray: (H, W) uint8 segmentation ids, 255 where ignored.

    Raises:
        ValueError: If the method is unknown, the image is not (H, W, 3)
            uint8, or a box is not finite.
    """
    if method not in METHODS:
        raise ValueError(f"unknown pseudo mask method '{method}'; known are "
                         f'{sorted(METHODS)}')
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
        mask[_window(rect)] = seg_id


def paint_box_centre(mask: np.ndarray, image: np.ndarray, rects: np.ndarray,
                     seg_ids: np.ndarray) -> None:
    """``box_i``: the central 20 % of each box; the rest of it is ignored.

    See :func:`paint_box` for the arguments.
    """
    for rect, seg_id in zip(rects, seg_ids):
        mask[_window(rect)] = IGNORE_INDEX
        mask[_window(_centre(rect))] = seg_id


def paint_grabcut(mask: np.ndarray, image: np.ndarray, rects: np.ndarray,
                  seg_ids: np.ndarray, **options) -> None:
    """``grabcut``: GrabCut's foreground; the rest of a box is outside.

    See :func:`paint_box` for the arguments and :func:`grabcut_foreground` for
    the options.
    """
    for rect, seg_id in zip(rects, seg_ids):
        if seg_id == IGNORE_INDEX:
            mask[_window(rect)] = IGNORE_INDEX
        else:
            foreground = grabcut_foreground(image, rect, **options)
            mask[_window(rect)][foreground] = seg_id


def paint_grabcut_ignore(mask: np.ndarray, image: np.ndarray,
                         rects: np.ndarray, seg_ids: np.ndarray,
                         **options) -> None:
    """``grabcut_ignore``: GrabCut's foreground; the rest is ignored.

    What is foreground of a large box and background of a small one inside it
    keeps the large one's class. See :func:`paint_grabcut`.
    """
    for rect in rects:
        mask[_window(rect)] = IGNORE_INDEX
    paint_grabcut(mask, image, rects, seg_ids, **options)


#: Variant name -> function that paints all boxes of one image.
METHODS: Dict[str, Callable[..., None]] = {
    'box': paint_box,
    'box_i': paint_box_centre,
    'grabcut': paint_grabcut,
    'grabcut_ignore': paint_grabcut_ignore,
}


def grabcut_foreground(image: np.ndarray,
                       rect: np.ndarray,
                       iterations: int = 5,
                       margin: float = 0.15,
                       max_side: int = 128,
                       min_fill: float = 0.1,
                       min_side: int = 10) -> np.ndarray:
    """What GrabCut (Rother et al., 2004) calls foreground in one box.

    It runs on the surroundings of the box, at a bounded resolution, and is
    deterministic. Where it cannot work the whole box is foreground.

    Args:
        image (np.ndarray): (H, W, 3) uint8, BGR.
        rect (np.ndarray): (4,) int x1, y1, x2, y2 inside the image.
        iterations (int): Iterations. Defaults to 5.
        margin (float): What is seen of the background around the box, on each
            side, as a share of the longer box side.
        max_side (int): Longest side, in pixels, of what GrabCut works on.
        min_fill (float): The whole box is returned if less than this share
            of it is foreground: GrabCut has collapsed.
        min_side (int): The whole box is returned if it is thinner than this,
            in pixels.

    Returns:
        np.ndarray: (h, w) bool, size of the box.
    """
    x1, y1, x2, y2 = (int(v) for v in rect)
    everything = np.ones((y2 - y1, x2 - x1), dtype=bool)
    if min(everything.shape) < min_side:
        return everything
    view, inner = _neighbourhood(image.shape[:2], (x1, y1, x2, y2), margin)
    crop = image[_window(view)]
    foreground = _cut(crop, inner, iterations, max_side)
    if foreground is None or foreground.mean() < min_fill:
        return everything
    return foreground


def _cut(crop: np.ndarray, inner: Tuple[int, int, int, int], iterations: int,
         max_side: int) -> Optional[np.ndarray]:
    """GrabCut with a rectangle; None if there is no background to learn."""
    height, width = crop.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    trimap = np.full(size[::-1], cv2.GC_BGD, dtype=np.uint8)
    # Rounded inwards: a pixel that shows some background is background.
    left, top = np.ceil(np.array(inner[:2]) * scale - 1e-6).astype(int)
    right, bottom = np.floor(np.array(inner[2:]) * scale + 1e-6).astype(int)
    trimap[top:bottom, left:right] = cv2.GC_PR_FGD
    num_inside = max(0, bottom - top) * max(0, right - left)
    if min(num_inside, trimap.size - num_inside) < _MIN_SAMPLES:
        return None
    # The Gaussians start from a k-means with random seeds: the same ones for
    # the same box, whatever was cut before.
    cv2.setRNGSeed(0)
    cv2.grabCut(small, trimap, None, np.zeros((1, 65)), np.zeros((1, 65)),
                iterations, cv2.GC_INIT_WITH_MASK)
    soft = np.where(trimap == cv2.GC_PR_FGD, 255, 0).astype(np.uint8)
    soft = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    return soft[_window(inner)] > 127


def _neighbourhood(shape: Tuple[int, int], rect: Tuple[int, int, int, int],
                   margin: float) -> Tuple[Tuple, Tuple]:
    """The enlarged box in the image, and the box in the enlarged one."""
    x1, y1, x2, y2 = rect
    pad = int(np.ceil(margin * max(x2 - x1, y2 - y1)))
    view = (max(0, x1 - pad), max(0, y1 - pad), min(shape[1], x2 + pad),
            min(shape[0], y2 + pad))
    return view, (x1 - view[0], y1 - view[1], x2 - view[0], y2 - view[1])


def _pixels_inside(boxes: np.ndarray, shape: Tuple[int, int]) -> np.ndarray:
    """(K, 4) int ranges of the pixels whose centre is in the box."""
    limit = np.array([shape[1], shape[0]] * 2)
    return np.clip(np.ceil(boxes - 0.5), 0, limit).astype(np.int64)


def _painting_order(boxes: np.ndarray, seg_ids: np.ndarray) -> np.ndarray:
    """By decreasing area; ties by coordinates, then class, ignored last."""
    area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    return np.lexsort((seg_ids, *boxes.T, -area))


def _centre(rect: np.ndarray) -> np.ndarray:
    """The middle of a rectangle, same shape, at least one pixel."""
    low, high = rect[:2], rect[2:]
    size = np.maximum(1, np.round((high - low) * CENTRE_AREA**0.5))
    start = low + (high - low - size.astype(np.int64)) // 2
    return np.concatenate([start, start + size.astype(np.int64)])


def _window(rect) -> Tuple[slice, slice]:
    x1, y1, x2, y2 = rect
    return slice(y1, y2), slice(x1, x2)
