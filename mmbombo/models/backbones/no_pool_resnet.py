# Copyright (c) mmbombo contributors.
from mmdet.models.backbones import ResNet
from torch import nn

from mmbombo.registry import MODELS


@MODELS.register_module()
class NoPoolResNet(ResNet):
    """:class:`mmdet.ResNet` without the max-pooling after its first layer.

    Every stage then works at half the usual stride: the four stages give maps
    at strides 2, 4, 8 and 16. Weights of the usual network fit. BoMBo's
    networks read the last two stages, at strides 8 and 16.

    Args:
        **kwargs: Arguments of :class:`mmdet.ResNet`. Its ``norm_eval`` is
            True unless said otherwise, the paper's networks train their
            normalization.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.maxpool = nn.Identity()
