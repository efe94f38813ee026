# Copyright (c) mmbombo contributors.
"""Loading saliency maps, and moving them with their images.

Transforms of MMDetection move maps of ids, to the nearest pixel. So a source
has :func:`move_saliency` after each transform, which moves a map of values by
the ``homography_matrix`` that they record.
"""
from io import BytesIO
from typing import Optional, Tuple

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.structures import DetDataSample
from mmengine.fileio import get
from mmengine.structures import PixelData
from PIL import Image

from mmbombo.registry import ANNOTATION_LOADERS, ANNOTATION_PACKERS
from mmbombo.structures.saliency import SALIENCY, UNKNOWN_SALIENCY
from ..errors import DatasetError

#: From indices of pixels to coordinates, in which a pixel is 1 wide.
CENTERS = np.array([[1, 0, .5], [0, 1, .5], [0, 0, 1]])


@ANNOTATION_LOADERS.register_module(name=SALIENCY)
def load_saliency(transform: BaseTransform, results: dict) -> None:
    """Load the map of an image as ``gt_saliency``, float32 (H, W) in 0..1."""
    path = results['saliency_path']
    try:
        with Image.open(BytesIO(get(path, transform.backend_args))) as image:
            mode, saliency = image.mode, np.array(image)
    except (OSError, SyntaxError) as error:
        raise DatasetError(
            f'{path}: the saliency map is missing, truncated or not an image; '
            'write it with tools/dataset_converters/saliency_maps.py, or '
            "correct data_prefix['saliency_path']") from error
    if mode != 'L':
        raise DatasetError(
            f'{path}: the saliency map is stored as {mode} pixels, where an '
            '8-bit gray image (L) is due; convert it')
    if saliency.shape != tuple(results['ori_shape']):
        height, width = results['ori_shape']
        raise DatasetError(
            f'{path}: the saliency map is {saliency.shape[1]}x'
            f'{saliency.shape[0]} but its image is {width}x{height}; write it '
            'anew')
    results['gt_saliency'] = saliency / np.float32(255)
    results['saliency_frame'] = _frame(results)


@ANNOTATION_PACKERS.register_module(name=SALIENCY)
def pack_saliency(results: dict, sample: DetDataSample) -> None:
    """Pack it as ``gt_saliency``."""
    saliency = move_saliency(results)['gt_saliency']
    sample.gt_saliency = PixelData(data=torch.from_numpy(saliency[None]))


def move_saliency(results: dict) -> dict:
    """Move a map, if there is one, to where its image is now.

    Values are interpolated bilinearly. What is outside of the image is
    :data:`UNKNOWN_SALIENCY`, and mixed into no value.
    """
    if 'gt_saliency' not in results:
        return results
    old, new = results['saliency_frame'], _frame(results)
    if new[0] is old[0] and new[1] == old[1]:
        return results
    before, now = (np.eye(3) if x is None else x.astype(np.float64)
                   for x, _ in (old, new))
    matrix = np.linalg.inv(CENTERS) @ now @ np.linalg.inv(before) @ CENTERS
    saliency, size = results['gt_saliency'], new[1][::-1]
    known = (saliency != UNKNOWN_SALIENCY).astype(np.float32)
    values, weights = (
        cv2.warpPerspective(x, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        for x in (saliency * known, known))
    inside = cv2.warpPerspective(
        known, matrix, size, flags=cv2.INTER_NEAREST) > 0
    results['gt_saliency'] = np.full_like(values, UNKNOWN_SALIENCY)
    results['gt_saliency'][inside] = values[inside] / weights[inside]
    results['saliency_frame'] = new
    return results


def _frame(results: dict) -> Tuple[Optional[np.ndarray], Tuple[int, int]]:
    """How the image has been moved, and its shape."""
    return results.get('homography_matrix'), results['img'].shape[:2]
