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
    normalization that follows takes away again.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        kernel_size (int): 1 or 3; the borders are padded.
        norm_cfg (dict): Config of the normalization.
        stride (int): Stride. Defaults to 1.
        act (bool): Whether the block ends with the activation. Defaults to
            True.

    Returns:
        ConvModule: The block.
    """
    return ConvModule(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=kernel_size // 2,
        norm_cfg=norm_cfg,
        act_cfg=LEAKY_RELU if act else None)
