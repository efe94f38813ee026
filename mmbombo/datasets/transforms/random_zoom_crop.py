# Copyright (c) mmbombo contributors.
from typing import Optional, Tuple

import mmcv
import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmbombo.registry import TRANSFORMS
from mmbombo.structures import IGNORE_INDEX

#: Side of the window, and how much shorter the other side may be; center of
#: the window. All relative to the image.
SIDE = (0.25, 1.75)
SQUEEZE = (0.5, 1.)
CENTER = (0.4, 0.6)
#: Sizes that are tried, and positions of each.
TRIES = (10, 10)
#: A window is not used if it shows between these shares of any box ...
CUT = (0.25, 0.75)
#: ... or if the foreground of the map spans so few pixels of it.
MIN_SPAN = 9
#: Id of the background, in the map.
BACKGROUND = 0
IMAGE_FILL = 114

Window = Tuple[int, int, int, int]


@TRANSFORMS.register_module()
class RandomZoomCrop(BaseTransform):
    """Show a random window of the image, which may reach out of it, at the
    size of the image: the zoom-in and zoom-out of BoMBo's baseline.

    The height of the window is U(.25, 1.75) of the image's and its width that
    times U(.5, 1), or divided by it; its center is in the middle fifth. A
    window is rejected if any box is cut, i.e. between .25 and .75 of it are
    visible; if no box has its center inside; or if what the map shows besides
    background (id 0) spans 9 pixels or fewer in either direction. After 10
    positions of 10 sizes the image stays as it is. Boxes whose center is
    outside are removed, the others are clipped. What is outside the image is
    gray (114), and ignored in the map.

    The numbers are those of the authors' code. Different from it, only the
    annotation that an image is declared to have takes part: the authors look
    at the boxes of images that are said to have a mask only.

    Modified Keys: ``img``, ``gt_seg_map``, ``gt_bboxes``,
    ``gt_bboxes_labels``, ``gt_ignore_flags``, as far as present, and
    ``homography_matrix``.

    Args:
        prob (float): Probability of a window. Defaults to 0.75.
    """

    def __init__(self, prob: float = 0.75) -> None:
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Show a window of one sample."""
        if np.random.random() >= self.prob:
            return results
        window = self._find_window(results)
        if window is None:
            return results
        height, width = results['img'].shape[:2]
        results['img'] = _show(results['img'], window, IMAGE_FILL, 'bilinear')
        if 'gt_seg_map' in results:
            results['gt_seg_map'] = _show(results['gt_seg_map'], window,
                                          IGNORE_INDEX, 'nearest')
        if 'gt_bboxes' in results:
            _move_boxes(results, window, height, width)
        _record_move(results, window, height, width)
        return results

    def _find_window(self, results: dict) -> Optional[Window]:
        """The first window that is not rejected, or None."""
        boxes = foreground = None
        if 'gt_bboxes' in results:
            boxes = results['gt_bboxes'].tensor.numpy().astype(np.float64)
        if 'gt_seg_map' in results:
            foreground = _foreground(results)
        # Every window would be rejected: there is nothing that it can show.
        if boxes is not None and len(boxes) == 0:
            return None
        if foreground is not None and not foreground.any():
            return None
        sizes, positions = TRIES
        for _ in range(sizes):
            size = _draw_size()
            for _ in range(positions):
                window = _draw_window(size, results['img'].shape[:2])
                if ((boxes is None or _keeps_boxes(boxes, window))
                        and (foreground is None
                             or _keeps_map(foreground, window))):
                    return window
        return None


def _foreground(results: dict) -> np.ndarray:
    """(H, W) bool: where the map names a class that is not the background."""
    is_object = np.ones(256, dtype=bool)
    if 'pseudo_classes' in results:  # the map holds numbers of sets
        sets = results['pseudo_classes']
        is_object[:] = False
        is_object[:len(sets)] = (sets.sum(axis=1) == 1) & ~sets[:, BACKGROUND]
    else:
        is_object[[BACKGROUND, IGNORE_INDEX]] = False
    return is_object[results['gt_seg_map']]


def _draw_size() -> Tuple[float, float]:
    """Width and height of a window, relative to the image."""
    height = np.random.uniform(*SIDE)
    squeeze = np.random.uniform(*SQUEEZE)
    if np.random.random() < 0.5:
        return height * squeeze, height
    return height / squeeze, height


def _draw_window(size: Tuple[float, float], shape: Tuple[int,
                                                         int]) -> Window:
    """x1, y1, x2, y2 of a window of a size, in whole pixels."""
    extent = np.array([shape[1], shape[0]])
    center = np.random.uniform(*CENTER, size=2) * extent
    half = np.array(size) * extent / 2
    low = np.round(center - half).astype(int)
    high = np.maximum(np.round(center + half).astype(int), low + 1)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _keeps_boxes(boxes: np.ndarray, window: Window) -> bool:
    """Whether no box is cut and a center is in the window."""
    visible = np.clip(boxes, np.tile(window[:2], 2), np.tile(window[2:], 2))
    share = _areas(visible) / np.maximum(_areas(boxes), 1e-6)
    cut = (share > CUT[0]) & (share < CUT[1])
    return not cut.any() and _has_center(boxes, window).any()


def _keeps_map(foreground: np.ndarray, window: Window) -> bool:
    """Whether the window shows enough of the foreground."""
    x1, y1, x2, y2 = window
    seen = foreground[max(y1, 0):max(y2, 0), max(x1, 0):max(x2, 0)]
    return all(_span(seen.any(axis)) > MIN_SPAN for axis in (0, 1))


def _span(occupied: np.ndarray) -> int:
    """Pixels from the first to the last that is occupied."""
    where = np.flatnonzero(occupied)
    return int(where[-1] - where[0] + 1) if where.size else 0


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _has_center(boxes: np.ndarray, window: Window) -> np.ndarray:
    """(K,) bool: the center of the box is in the window."""
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    return ((center >= window[:2]) & (center < window[2:])).all(1)


def _show(pixels: np.ndarray, window: Window, fill: int,
          interpolation: str) -> np.ndarray:
    """The window of an image or a map, at the size of the whole."""
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = window
    canvas = np.full((y2 - y1, x2 - x1, *pixels.shape[2:]), fill,
                     pixels.dtype)
    left, top = max(x1, 0), max(y1, 0)
    seen = pixels[top:max(y2, 0), left:max(x2, 0)]
    canvas[top - y1:top - y1 + seen.shape[0],
           left - x1:left - x1 + seen.shape[1]] = seen
    return mmcv.imresize(canvas, (width, height), interpolation=interpolation)


def _move_boxes(results: dict, window: Window, height: int,
                width: int) -> None:
    """Boxes, labels and flags of what has its center in the window."""
    x1, y1, x2, y2 = window
    boxes = results['gt_bboxes']
    kept = _has_center(boxes.tensor.numpy().astype(np.float64), window)
    boxes = boxes[torch.from_numpy(kept)]
    boxes.translate_((-x1, -y1))
    boxes.rescale_((width / (x2 - x1), height / (y2 - y1)))
    boxes.clip_((height, width))
    results['gt_bboxes'] = boxes
    for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
        results[key] = results[key][kept]


def _record_move(results: dict, window: Window, height: int,
                 width: int) -> None:
    """Say how points move, as transforms of MMDetection do."""
    x1, y1, x2, y2 = window
    scale = np.array([width / (x2 - x1), height / (y2 - y1), 1])
    move = np.array([[1, 0, -x1], [0, 1, -y1], [0, 0, 1]]) * scale[:, None]
    results['homography_matrix'] = move @ results.get('homography_matrix',
                                                      np.eye(3))
