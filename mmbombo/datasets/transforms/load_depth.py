# Copyright (c) mmbombo contributors.
"""Loading and packing depth and poses."""
from io import BytesIO
from typing import Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.structures import DetDataSample
from mmengine.fileio import get
from mmengine.structures import PixelData
from PIL import Image

from mmbombo.registry import ANNOTATION_LOADERS, ANNOTATION_PACKERS, TRANSFORMS
from mmbombo.structures import DEPTH, POSE
from ..errors import DatasetError
from .recorded_moves import CENTERS, frame_of, move_depth

#: Axes of the camera by name: signs of OpenCV's x (to the right), y (down)
#: and z (forward). OpenGL and Blender look along -z, y is up.
AXES = dict(opencv=(1, 1, 1), opengl=(1, -1, -1))


@TRANSFORMS.register_module()
class LoadDepth(BaseTransform):
    """Load the depth of an image as ``gt_depth``, float32 (H, W), in meters.

    Depth of another size is brought to the image's, if the proportions are
    the same, by the nearest pixel.

    Args:
        scale (float, optional): Values of the file for a meter. Defaults to
            None, what the data set says.
        missing (Sequence[int], optional): Values that mean none. Defaults to
            None, what the data set says.
    """

    def __init__(self,
                 scale: Optional[float] = None,
                 missing: Optional[Sequence[int]] = None) -> None:
        self.scale = scale
        self.missing = missing

    def transform(self, results: dict) -> dict:
        """Load ``depth_path``."""
        depth = read_depth(
            results['depth_path'], self.scale or results['depth_scale'],
            results['depth_missing'] if self.missing is None else self.missing)
        depth = fit_depth(depth, results['ori_shape'][:2],
                          results['depth_path'], results.get('registration'))
        results['gt_depth'] = depth
        results['depth_frame'] = frame_of(results)
        return results


@TRANSFORMS.register_module()
class LoadPose(BaseTransform):
    """Load the pose of an image as ``gt_camera``: intrinsics ``(3, 3)`` and
    world to camera ``(4, 4)`` of OpenCV's axes, float64.

    Args:
        axes (str): 'opencv' or 'opengl', those of the camera in the pose.
            Defaults to 'opencv', to which our data sets bring their poses.
    """

    def __init__(self, axes: str = 'opencv') -> None:
        self.axes = axes

    def transform(self, results: dict) -> dict:
        """Take ``intrinsics`` and ``extrinsics``."""
        extrinsics = opencv_extrinsics(results['extrinsics'], self.axes,
                                       results.get('img_path', ''))
        intrinsics = registration_matrix(
            results.get('registration'),
            results['ori_shape'][:2]) @ results['intrinsics']
        results['gt_camera'] = (intrinsics, extrinsics)
        results['camera_frame'] = frame_of(results)
        return results


@ANNOTATION_LOADERS.register_module(name=DEPTH)
def load_depth(transform: BaseTransform, results: dict) -> None:
    """Load the depth as the data set says."""
    LoadDepth().transform(results)


@ANNOTATION_LOADERS.register_module(name=POSE)
def load_pose(transform: BaseTransform, results: dict) -> None:
    """Load the pose as the data set says."""
    LoadPose().transform(results)


@ANNOTATION_PACKERS.register_module(name=DEPTH)
def pack_depth(results: dict, sample: DetDataSample) -> None:
    """Pack it as ``depth``."""
    depth = move_depth(results)['gt_depth']
    sample.depth = PixelData(data=torch.from_numpy(depth[None].copy()))


@ANNOTATION_PACKERS.register_module(name=POSE)
def pack_pose(results: dict, sample: DetDataSample) -> None:
    """Pack it as ``camera``, of the input as it is now."""
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
    try:
        with Image.open(BytesIO(get(path))) as image:
            values = np.array(image)
    except (OSError, SyntaxError) as error:
        raise DatasetError(f'{path}: the depth is missing, truncated or not '
                           f'an image ({error})') from error
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
    if abs(depth.shape[1] * height - depth.shape[0] * width) > height + width:
        raise DatasetError(
            f'{path}: the depth is {depth.shape[1]}x{depth.shape[0]} but its '
            f'image is {width}x{height}, of other proportions; crop one')
    if depth.shape != (height, width):
        depth = cv2.resize(
            depth, (width, height), interpolation=cv2.INTER_NEAREST)
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


def opencv_extrinsics(matrix: np.ndarray, axes: str, place: str) -> np.ndarray:
    """World to camera (4, 4) of OpenCV's axes; a ``DatasetError`` naming the
    place if it is no rigid motion."""
    if axes not in AXES:
        raise DatasetError(f'axes={axes!r} of a camera are none of '
                           f'{sorted(AXES)}')
    pose = np.eye(4)
    pose[:3] = np.asarray(matrix, dtype=np.float64)[:3]
    rotation = pose[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > .02:
        raise DatasetError(
            f'{place}: the pose is not rigid (rows of its rotation are not of '
            'length 1, or not orthogonal): is it a pose, and in meters?')
    if np.linalg.det(rotation) < 0:
        raise DatasetError(f'{place}: the pose mirrors the world: an axis has '
                           'the wrong sign')
    pose[:3] *= np.array(AXES[axes])[:, None]
    return pose
