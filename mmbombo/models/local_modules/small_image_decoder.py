# Copyright (c) mmbombo contributors.
from typing import Tuple

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmbombo.registry import MODELS


@MODELS.register_module()
class SmallImageDecoder(nn.Module):
    """InfoPro's decoder for CIFAR, SVHN and STL-10: bilinear upsampling to
    the size of the image and two 3x3 convolutions.

    Args:
        in_channels (int): Channels of the map.
        channels (int): Of the first convolution. Defaults to 12.
    """

    def __init__(self, in_channels: int, channels: int = 12) -> None:
        super().__init__()
        self.conv = ConvModule(
            in_channels, channels, 3, padding=1, norm_cfg=dict(type='BN'))
        self.last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, feat: Tensor, size: Tuple[int, int]) -> Tensor:
        """Logits ``(N, 3, *size)`` of a map ``(N, C, h, w)``."""
        return self.last(
            self.conv(
                F.interpolate(
                    feat, size=size, mode='bilinear', align_corners=True)))
