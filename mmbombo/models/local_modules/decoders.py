# Copyright (c) mmbombo contributors.
from typing import Sequence, Tuple

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.utils import ConfigType
from torch import Tensor, nn

from mmbombo.registry import MODELS


@MODELS.register_module()
class ReconstructionDecoder(nn.Module):
    """InfoPro's decoder, from a map to the logits of an image in 0 to 1.

    A 1x1 convolution, then as many times as there are ``channels`` bilinear
    upsampling by the same factor (2 at stride 8) and a 3x3 convolution, the
    last one to three channels.

    Args:
        in_channels (int): Channels of the map.
        channels (Sequence[int]): Channels of all convolutions but the last.
            Defaults to (128, 32, 12), those of ImageNet and Cityscapes.
        norm_cfg (dict): Defaults to batch normalization.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int] = (128, 32, 12),
        norm_cfg: ConfigType = dict(type='BN')
    ) -> None:
        super().__init__()
        widths = [in_channels, *channels]
        self.convs = nn.ModuleList(
            ConvModule(
                widths[i],
                channels[i],
                3 if i else 1,
                padding=1 if i else 0,
                norm_cfg=norm_cfg) for i in range(len(channels)))
        self.last = nn.Conv2d(channels[-1], 3, 3, padding=1)

    def forward(self, feat: Tensor, size: Tuple[int, int]) -> Tensor:
        """Logits ``(N, 3, *size)`` of a map ``(N, C, h, w)``."""
        x, steps = feat, len(self.convs)
        start = feat.shape[-2:]
        for i, conv in enumerate([*self.convs, self.last]):
            if i:
                x = F.interpolate(
                    x,
                    size=[
                        round(a * (b / a)**(i / steps))
                        for a, b in zip(start, size)
                    ],
                    mode='bilinear',
                    align_corners=True)
            x = conv(x)
        return x


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
