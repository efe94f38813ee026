# Copyright (c) mmbombo contributors.
"""Pseudo segmentation masks from boxes (Box-for-Mask).

A pseudo mask leaves a set of *candidate classes* possible at each pixel. The
rule that all variants share: a complete box annotation says for certain what
is *outside* all boxes, namely one of the classes that no box ever marks, such
as the background or "road". Inside a box each variant makes its own guess.

The paper gives no details; the variants are our reconstruction, with ``box``
and ``box_i`` after "Simple Does It" (Khoreva et al., CVPR 2017).
"""
from functools import wraps
from inspect import signature
from typing import (Callable, Dict, Iterable, Iterator, NamedTuple, Optional,
                    Tuple)

import numpy as np

from mmbombo.utils import UserError
from .candidate_mask import CandidateMask
from .grabcut import center, grabcut_foreground, window
from .prompted import prompted_foregrounds

#: What the rest of a box may show: what its surroundings may, or its class;
#: or anything.
REJECTED = ('candidates', 'ignore')


class PseudoMask(NamedTuple):
    """Which classes are possible at each pixel."""
    #: ``(H, W)`` uint8, a row of ``classes``; 255 where any class is possible
    numbers: np.ndarray
    classes: np.ndarray  #: ``(T, S)`` bool, sets of segmentation ids


def boxes_to_mask(image: np.ndarray,
                  boxes: np.ndarray,
                  labels: np.ndarray,
                  ignore_flags: np.ndarray,
                  compatible: np.ndarray,
                  outside: np.ndarray,
                  method: str = 'grabcut_ignore',
                  rejected: str = 'candidates',
                  **options) -> PseudoMask:
    """Make the pseudo mask of one image.

    Outside all boxes, the classes of ``outside`` are possible, and on the
    foreground of a box those that show its label. Elsewhere in a box
    (``rejected``) it is those of ``outside`` or of any box there. If there
    are none of ``outside``, what is no foreground may be anything: there is
    something, such as what masks leave unlabeled, that no class is for.

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
            In them, and in boxes of a class without segmentation class, any
            class is possible.
        compatible (np.ndarray): (S, D) bool: segmentation id s shows label
            d, as :attr:`ClassMap.compatible`.
        outside (np.ndarray): (S,) bool: segmentation ids that are possible
            outside all boxes, as :attr:`ClassMap.outside_ids`.
        method (str): A key of :data:`METHODS`.
        rejected (str): 'candidates', or 'ignore': any class is possible in
            the rest of a box. Defaults to 'candidates'.
        **options: Of both GrabCut methods, those of
            :func:`grabcut_foreground`; of ``sam`` and ``sam_ignore``, those
            of :func:`prompted_foregrounds`; the others have none.

    Returns:
        PseudoMask: Numbers of sets, and the sets.

    Raises:
        ValueError: If the method or an option is unknown, the image is not
            (H, W, 3) uint8, or a box is not finite.
    """
    check_method(method, rejected, options)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f'the image must be (H, W, 3) uint8, got '
                         f'{image.shape} {image.dtype}')
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    if not np.isfinite(boxes).all():
        raise ValueError(f'boxes must be finite, got {boxes.tolist()}')
    flags = np.asarray(ignore_flags, dtype=bool)[:, None]
    # (K, S); whoever is flagged has perhaps no label, but some row
    shown = compatible.T[np.asarray(labels, dtype=np.int64)] & ~flags

    rects = _pixels_inside(boxes, image.shape[:2])
    order = _painting_order(boxes, shown)
    order = order[((rects[:, 2:] - rects[:, :2]) > 0).all(axis=1)[order]]
    rects, shown = rects[order], shown[order]

    mask = CandidateMask(image.shape[:2], np.asarray(outside))
    find_foregrounds, keeps_rest = METHODS[method]
    anything = np.ones(len(compatible), dtype=bool)
    for rect, classes in zip(rects, shown) if keeps_rest else ():
        limited = rejected == 'candidates' and classes.any()
        mask.widen(window(rect), classes if limited else anything)
    found = iter(find_foregrounds(image, rects[shown.any(1)], **options))
    for rect, classes in zip(rects, shown):
        pixels = next(found) if classes.any() else None
        if pixels is None:
            pixels, classes = whole_box(image, rect), anything
        mask.paint(window(rect), pixels, classes)
    sets = mask.forget_unseen()
    return PseudoMask(mask.numbers, sets)


def whole_box(image: np.ndarray, rect: np.ndarray) -> np.ndarray:
    """All pixels ``(h, w)`` of a box ``(4, )`` int x1, y1, x2, y2."""
    x1, y1, x2, y2 = rect
    return np.ones((y2 - y1, x2 - x1), dtype=bool)


def box_center(image: np.ndarray, rect: np.ndarray) -> np.ndarray:
    """The central 20 % of the pixels ``(h, w)`` of a box ``(4, )`` int."""
    foreground = ~whole_box(image, rect)
    foreground[window(center(rect) - np.tile(rect[:2], 2))] = True
    return foreground


def one_by_one(find: Callable[..., np.ndarray]) -> Callable[..., Iterator]:
    """Find the foreground of each box ``(K, 4)`` for itself."""

    @wraps(find)
    def find_all(image, rects, **options):
        return (find(image, rect, **options) for rect in rects)

    return find_all


#: Variant name -> function that finds the pixels of each box that show its
#: object, or gives None where it cannot tell, and whether the rest of the box
#: is uncertain; otherwise it is as what is outside.
METHODS: Dict[str, Tuple[Callable[..., Iterable[Optional[np.ndarray]]],
                         bool]] = {
    'box': (one_by_one(whole_box), False),
    'box_i': (one_by_one(box_center), True),
    'grabcut': (one_by_one(grabcut_foreground), False),
    'grabcut_ignore': (one_by_one(grabcut_foreground), True),
    'sam': (prompted_foregrounds, False),
    'sam_ignore': (prompted_foregrounds, True),
}


def check_method(method: str,
                 rejected: str = 'candidates',
                 options: Iterable[str] = ()) -> None:
    """Raise ``UserError`` unless there is such a method, with such options,
    and none is missing that it needs."""
    if method not in METHODS:
        raise UserError(f"unknown pseudo mask method '{method}'; known are "
                        f'{sorted(METHODS)}')
    if rejected not in REJECTED:
        raise UserError(f'rejected={rejected!r} of a pseudo mask must be one '
                        f'of {REJECTED}')
    known = list(signature(METHODS[method][0]).parameters.values())[2:]
    names = [option.name for option in known]
    unknown = sorted(set(options) - set(names))
    if unknown:
        raise UserError(f"pseudo mask method '{method}' has no option(s) "
                        f'{unknown}; it has {names}')
    for option in known:
        if option.default is option.empty and option.name not in options:
            raise UserError(f"pseudo mask method '{method}' needs the option "
                            f"'{option.name}'")


def _pixels_inside(boxes: np.ndarray, shape: Tuple[int, int]) -> np.ndarray:
    """(K, 4) int ranges of the pixels whose center is in the box."""
    limit = np.array([shape[1], shape[0]] * 2)
    return np.clip(np.ceil(boxes - 0.5), 0, limit).astype(np.int64)


def _painting_order(boxes: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """By decreasing area; ties by y2, x2, y1, x1, classes, ignored last."""
    area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    # lower ids first, and those without any last
    return np.lexsort((*~shown.T[::-1], *boxes.T, -area))
