# Copyright (c) mmbombo contributors.
from mmengine.model import BaseDataPreprocessor
from torch import Tensor


def raw_images(inputs: Tensor, preprocessor: BaseDataPreprocessor) -> Tensor:
    """RGB images ``(N, 3, H, W)`` in 0..255 of a network's normalized inputs.

    Args:
        inputs (Tensor): Images ``(N, 3, H, W)``, of files that were read as
            BGR, which is how MMCV reads.
        preprocessor (:obj:`BaseDataPreprocessor`): What made them.
    """
    if getattr(preprocessor, '_enable_normalize', False):
        inputs = inputs * preprocessor.std + preprocessor.mean
    swapped = getattr(preprocessor, '_channel_conversion', False)
    return inputs if swapped else inputs.flip(1)
