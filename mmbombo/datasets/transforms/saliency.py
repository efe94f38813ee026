# Copyright (c) mmbombo contributors.
"""Loading and packing saliency maps."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData

from mmbombo.registry import ANNOTATION_LOADERS, ANNOTATION_PACKERS
from mmbombo.structures import SALIENCY
from ..errors import DatasetError
from ..image_size import open_image
from .recorded_moves import frame_of, move_saliency


@ANNOTATION_LOADERS.register_module(name=SALIENCY)
def load_saliency(transform: BaseTransform, results: dict) -> None:
    """Load the map of an image as ``gt_saliency``, float32 (H, W) in 0..1."""
    path = results['saliency_path']
    remedy = ('write it with tools/dataset_converters/saliency_maps.py, or '
              "correct data_prefix['saliency_path']")
    with open_image(path, 'saliency map', transform.backend_args,
                    remedy) as image:
        mode, saliency = image.mode, np.array(image)
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
    results['saliency_frame'] = frame_of(results)


@ANNOTATION_PACKERS.register_module(name=SALIENCY)
def pack_saliency(results: dict, sample: DetDataSample) -> None:
    """Pack it as ``gt_saliency``."""
    saliency = move_saliency(results)['gt_saliency']
    sample.gt_saliency = PixelData(data=torch.from_numpy(saliency[None]))
