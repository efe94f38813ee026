# Copyright (c) mmbombo contributors.
"""Moving maps to where their image is now, after any transform of MMDetection.

Those move ``gt_seg_map`` alone. So a source has :func:`move_maps` after each,
which moves its other maps by the ``homography_matrix`` that they record.
"""
from typing import Optional, Tuple

import cv2
import numpy as np

from mmbombo.structures.saliency import UNKNOWN_SALIENCY

#: From indices of pixels to coordinates, in which a pixel is 1 wide.
CENTERS = np.array([[1, 0, .5], [0, 1, .5], [0, 0, 1]])

Frame = Tuple[Optional[np.ndarray], Tuple[int, int], Tuple[float, float]]


def frame_of(results: dict) -> Frame:
    """How the image has been moved, its shape and how it has been scaled."""
    return (results.get('homography_matrix'), results['img'].shape[:2],
            results.get('scale_factor', (1., 1.)))


def move_maps(results: dict) -> dict:
    """Move saliency, superpixels and depth, as far as there are any."""
    return move_depth(move_superpixels(move_saliency(results)))


def move_saliency(results: dict) -> dict:
    """Move a saliency map, if there is one, to where its image is now.

    Values are interpolated bilinearly. What is outside of the image is
    :data:`UNKNOWN_SALIENCY`, and mixed into no value.
    """
    move = _move_since(results, 'gt_saliency', 'saliency_frame')
    if move is None:
        return results
    saliency = results['gt_saliency']
    known = (saliency != UNKNOWN_SALIENCY).astype(np.float32)
    values, weights = (
        cv2.warpPerspective(x, *move, borderMode=cv2.BORDER_REPLICATE)
        for x in (saliency * known, known))
    inside = cv2.warpPerspective(known, *move, flags=cv2.INTER_NEAREST) > 0
    results['gt_saliency'] = np.full_like(values, UNKNOWN_SALIENCY)
    results['gt_saliency'][inside] = values[inside] / weights[inside]
    return results


def move_superpixels(results: dict) -> dict:
    """Move a map of superpixels, if there is one, to the nearest pixel.

    What is outside of the image is 0, which means none.
    """
    move = _move_since(results, 'gt_superpixels', 'superpixels_frame')
    if move is not None:
        results['gt_superpixels'] = cv2.warpPerspective(
            results['gt_superpixels'], *move, flags=cv2.INTER_NEAREST)
    return results


def move_depth(results: dict) -> dict:
    """Move depth, if there is any, to the nearest pixel; outside of the image
    it is 0, which means none."""
    move = _move_since(results, 'gt_depth', 'depth_frame')
    if move is not None:
        results['gt_depth'] = cv2.warpPerspective(
            results['gt_depth'], *move, flags=cv2.INTER_NEAREST)
    return results


def _move_since(results: dict, name: str,
                key: str) -> Optional[Tuple[np.ndarray, Tuple[int, int]]]:
    """The matrix (3, 3) of a map's pixels and its new (width, height) since
    the frame under a key, which becomes the present one; None if there is
    nothing to move."""
    if name not in results:
        return None
    before, shape, old_scale = results[key]
    now, new_shape, scale = frame = frame_of(results)
    # Without a record, there may be a padding, if all that was done before has
    # moved the map, as what moves `seg_fields` does (MMSegmentation).
    old_shape = results[name].shape
    scaled = np.not_equal(scale, old_scale).any()
    if now is before and (new_shape in (shape, old_shape) or np.less(
            new_shape, old_shape).any() or scaled and old_shape == shape):
        return None
    results[key] = frame
    before, now = (
        np.eye(3) if x is None else x.astype(np.float64)
        for x in (before, now))
    matrix = np.linalg.inv(CENTERS) @ now @ np.linalg.inv(before) @ CENTERS
    return matrix, new_shape[::-1]
