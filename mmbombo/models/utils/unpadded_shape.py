# Copyright (c) mmbombo contributors.
from typing import Tuple

from mmdet.structures import DetDataSample


def unpadded_shape(sample: DetDataSample) -> Tuple[int, int]:
    """Height and width of an image in the input, without any padding.

    ``mmdet.Pad`` in a test pipeline, as RTMDet's has it, makes the padding
    part of ``img_shape``; the scale tells how large the image was before.

    Args:
        sample (:obj:`DetDataSample`): A sample of a test pipeline.

    Returns:
        tuple[int, int]: Height and width in pixels.
    """
    height, width = sample.img_shape[:2]
    if 'scale_factor' in sample:
        across, down = sample.scale_factor[:2]
        height = min(height, round(sample.ori_shape[0] * down))
        width = min(width, round(sample.ori_shape[1] * across))
    return height, width
