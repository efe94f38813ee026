# Copyright (c) mmbombo contributors.
"""Crops for classification: they move no boxes and no maps, so that only
images with tags alone go through them."""
from typing import Sequence

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform

from mmbombo.registry import TRANSFORMS

BORDERS = dict(reflect=cv2.BORDER_REFLECT_101, constant=cv2.BORDER_CONSTANT)


@TRANSFORMS.register_module()
class RandomPaddedCrop(BaseTransform):
    """Pad an image on all sides and crop it to its size at random.

    Args:
        padding (int): Pixels on each side. Defaults to 4.
        padding_mode (str): 'reflect', or 'constant' for zeros. Defaults to
            'reflect'.
    """

    def __init__(self, padding: int = 4, padding_mode: str = 'reflect'):
        self.padding = padding
        self.border = BORDERS[padding_mode]

    def transform(self, results: dict) -> dict:
        """Move the image; nothing else."""
        height, width = results['img'].shape[:2]
        padded = cv2.copyMakeBorder(results['img'], *[self.padding] * 4,
                                    self.border)
        top, left = np.random.randint(2 * self.padding + 1, size=2)
        results['img'] = padded[top:top + height, left:left + width]
        return results


@TRANSFORMS.register_module()
class RandomResizedCrop(BaseTransform):
    """Crop a random part of an image and resize it to a square, as
    classifiers of ImageNet are trained.

    Args:
        scale (int): Side of the result in pixels.
        area (Sequence[float]): Least and largest share of the image. Defaults
            to (0.08, 1).
        ratio (Sequence[float]): Least and largest width by height. Defaults
            to (3/4, 4/3).
    """

    def __init__(
        self,
        scale: int,
        area: Sequence[float] = (0.08, 1.),
        ratio: Sequence[float] = (3 / 4, 4 / 3)
    ) -> None:
        self.scale = scale
        self.area = area
        self.log_ratio = np.log(ratio)

    def transform(self, results: dict) -> dict:
        """Crop the image; nothing else."""
        height, width = results['img'].shape[:2]
        for _ in range(10):
            area = height * width * np.random.uniform(*self.area)
            ratio = np.exp(np.random.uniform(*self.log_ratio))
            w, h = np.sqrt([area * ratio, area / ratio]).round().astype(int)
            if 0 < w <= width and 0 < h <= height:
                break
        else:  # a very long image
            w = h = min(height, width)
        top = np.random.randint(height - h + 1)
        left = np.random.randint(width - w + 1)
        side = (self.scale, self.scale)
        results['img'] = mmcv.imresize(
            results['img'][top:top + h, left:left + w], side)
        results['img_shape'] = side
        return results
