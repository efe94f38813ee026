# Copyright (c) mmbombo contributors.
"""Loading and packing depth and poses."""
from typing import Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData

from mmbombo.registry import ANNOTATION_LOADERS, ANNOTATION_PACKERS
from mmbombo.structures import DEPTH, POSE
from ..errors import DatasetError
from ..image_size import open_image
from .recorded_moves import CENTERS, frame_of, move_depth


@ANNOTATION_LOADERS.register_module(name=DEPTH)
def load_depth(transform: BaseTransform, results: dict) -> None:
    """Load ``gt_depth``, float32 (H, W) in meters."""
    results['gt_depth'] = depth_of(results)
    results['depth_frame'] = frame_of(results)


@ANNOTATION_LOADERS.register_module(name=POSE)
def load_pose(transform: BaseTransform, results: dict) -> None:
    """Load ``gt_camera``: intrinsics ``(3, 3)`` and world to camera ``(4,
    4)``, float64."""
    results['gt_camera'] = camera_of(results)
    results['camera_frame'] = frame_of(results)


def depth_of(results: dict) -> np.ndarray:
    """Depth (H, W) of an image of ``ori_shape``; all 0 if it has no file."""
    shape, path = tuple(results['ori_shape'][:2]), results['depth_path']
    if not path:
        return np.zeros(shape, np.float32)
    depth = read_depth(path, results['depth_scale'], results['depth_missing'])
    return fit_depth(depth, shape, path, results.get('registration'))


def camera_of(results: dict) -> Tuple[np.ndarray, np.ndarray]:
    """Matrix to the pixels of an image, and from the world."""
    registered = registration_matrix(
        results.get('registration'), results['ori_shape'][:2])
    return registered @ results['intrinsics'], results['extrinsics']


@ANNOTATION_PACKERS.register_module(name=DEPTH)
def pack_depth(results: dict, sample: DetDataSample) -> None:
    """Pack it as ``depth``."""
    depth = move_depth(results)['gt_depth']
    sample.depth = PixelData(data=torch.from_numpy(depth[None].copy()))


@ANNOTATION_PACKERS.register_module(name=POSE)
def pack_pose(results: dict, sample: DetDataSample) -> None:
    """Pack it as ``camera``, moved as the image was since it was loaded."""
    intrinsics, extrinsics = results['gt_camera']
    before, now = (
        np.eye(3) if x is None else x.astype(np.float64)
        for x in (results['camera_frame'][0],
                  results.get('homography_matrix')))
    camera = np.stack([np.eye(4), extrinsics])
    camera[0, :3, :3] = now @ np.linalg.inv(before) @ intrinsics
    sample.set_field(
        torch.from_numpy(camera).float(), 'camera', field_type='data')


def read_depth(path: str, scale: float, missing: Sequence[int]) -> np.ndarray:
    """Depth (H, W) float32 of a file of integers, 0 where it is missing."""
    with open_image(path, 'depth') as image:
        values = np.array(image)
    if values.ndim != 2 or values.dtype == np.uint8:
        raise DatasetError(
            f'{path}: depth is due as one number of 16 bits or more per '
            f'pixel, not {values.dtype} {values.shape}')
    depth = (values / scale).astype(np.float32)
    depth[np.isin(values, list(missing))] = 0
    return depth


def fit_depth(depth: np.ndarray,
              shape: Tuple[int, int],
              path: str,
              registration: Optional[Sequence[float]] = None) -> np.ndarray:
    """Depth at the size (height, width) of its image, registered to it."""
    height, width = shape
    ratio = depth.shape[1] * height / (depth.shape[0] * width)
    if abs(ratio - 1) > .02:  # ScanNet's are not quite the same
        raise DatasetError(
            f'{path}: the depth is {depth.shape[1]}x{depth.shape[0]} but its '
            f'image is {width}x{height}, of other proportions; crop one')
    if depth.shape != (height, width):
        depth = cv2.resize(
            depth, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    if registration is not None:
        matrix = np.linalg.inv(CENTERS) @ registration_matrix(
            registration, shape) @ CENTERS
        depth = cv2.warpPerspective(
            depth, matrix, (width, height), flags=cv2.INTER_NEAREST)
    return depth


def registration_matrix(registration: Optional[Sequence[float]],
                        shape: Tuple[int, int]) -> np.ndarray:
    """Matrix (3, 3) from positions in the depth to those in the color.

    ``registration`` (scale, dx, dy): a position is moved away from the middle
    by a factor, then by pixels. Parallax between both cameras is left out.
    """
    scale, dx, dy = registration or (1, 0, 0)
    height, width = shape
    return np.array([[scale, 0, (1 - scale) * width / 2 + dx],
                     [0, scale, (1 - scale) * height / 2 + dy], [0, 0, 1]])
