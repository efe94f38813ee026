# Copyright (c) mmbombo contributors.
from mmcv.cnn import ConvModule
from mmdet.utils import ConfigType

#: Activation of every block of the paper's neck and heads.
LEAKY_RELU = dict(type='LeakyReLU', negative_slope=0.1)


def conv_block(in_channels: int,
               out_channels: int,
               kernel_size: int,
               norm_cfg: ConfigType,
               stride: int = 1,
               act: bool = True) -> ConvModule:
    """Convolution, normalization, LeakyReLU(0.1): the paper's only block.

    The convolution has no bias: the reference code gives it one, which the
    normalization that follows takes away again. The borders are padded.
    """
    return ConvModule(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=kernel_size // 2,
        norm_cfg=norm_cfg,
        act_cfg=LEAKY_RELU if act else None)
