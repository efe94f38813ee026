# Copyright (c) mmbombo contributors.
from typing import Tuple

from mmcv.cnn import build_conv_layer, build_norm_layer
from mmdet.models.backbones import ResNet
from mmdet.models.backbones.resnet import BasicBlock
from torch import nn

from mmbombo.registry import MODELS


@MODELS.register_module()
class CifarResNet(ResNet):
    """The network for small images of `Deep Residual Learning for Image
    Recognition <https://arxiv.org/abs/1512.03385>`_, section 4.2.

    A 3x3 convolution and three stages of n basic blocks each, 16, 32 and 64
    channels at strides 1, 2 and 4: depth 6n + 2 with the classifier. Where a
    stage changes the channels its first block has a 1x1 convolution beside
    it, as in the code of `Revisiting Locally Supervised Learning
    <https://arxiv.org/abs/2101.10832>`_.

    Args:
        depth (int): 20, 32, 44, 56 or 110.
        out_indices (Sequence[int]): Stages whose maps are the output.
            Defaults to (2, ), the last.
        **kwargs: Arguments of :class:`mmdet.ResNet`.
    """

    arch_settings = {
        6 * n + 2: (BasicBlock, (n, n, n))
        for n in (3, 5, 7, 9, 18)
    }

    def __init__(self,
                 depth: int,
                 out_indices: Tuple[int, ...] = (2, ),
                 **kwargs) -> None:
        defaults = dict(
            base_channels=16,
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            norm_eval=False,
            zero_init_residual=False)
        super().__init__(
            depth, out_indices=out_indices, **{
                **defaults,
                **kwargs
            })
        self.maxpool = nn.Identity()

    def _make_stem_layer(self, in_channels: int, stem_channels: int) -> None:
        self.conv1 = build_conv_layer(
            self.conv_cfg,
            in_channels,
            stem_channels,
            3,
            padding=1,
            bias=False)
        self.norm1_name, norm1 = build_norm_layer(
            self.norm_cfg, stem_channels, postfix=1)
        self.add_module(self.norm1_name, norm1)
        self.relu = nn.ReLU(inplace=True)
