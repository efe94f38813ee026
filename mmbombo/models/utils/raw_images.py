# Copyright (c) mmbombo contributors.
from torch import Tensor, nn


def raw_images(inputs: Tensor, data_preprocessor: nn.Module) -> Tensor:
    """The images in RGB, 0 to 255, that a network gets normalized.

    Args:
        inputs (Tensor): ``(N, 3, H, W)``, normalized.
        data_preprocessor (nn.Module): What normalized them. Without a
            conversion of colors they are BGR, as MMCV reads them.

    Returns:
        Tensor: ``(N, 3, H, W)`` float32.
    """
    images = inputs.detach().float()
    if data_preprocessor._enable_normalize:
        images = images * data_preprocessor.std + data_preprocessor.mean
    if not data_preprocessor._channel_conversion:
        images = images.flip(1)
    return images
