# Copyright (c) mmbombo contributors.
from mmengine.model import BaseDataPreprocessor
from torch import Tensor


def raw_images(inputs: Tensor, preprocessor: BaseDataPreprocessor) -> Tensor:
    """The images ``(N, 3, H, W)`` in RGB, 0 to 255, that a preprocessor has
    normalized; files are read as BGR, which is how MMCV reads."""
    images = inputs.detach().float()
    if getattr(preprocessor, '_enable_normalize', False):
        images = images * preprocessor.std + preprocessor.mean
    swapped = getattr(preprocessor, '_channel_conversion', False)
    return images if swapped else images.flip(1)
