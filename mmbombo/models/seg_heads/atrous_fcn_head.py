# Copyright (c) mmbombo contributors.
from mmdet.utils import ConfigType, OptMultiConfig
from mmseg.models.decode_heads import FCNHead
from torch import nn

from mmbombo.registry import MODELS


@MODELS.register_module()
class AtrousFCNHead(FCNHead):
    """:class:`mmseg.FCNHead` whose last convolution is like the others.

    So are the segmentation heads of `Wider or Deeper
    <https://arxiv.org/abs/1611.10080>`_ and of RRM: 3x3 convolutions with a
    bias and dilation 12 at stride 8, the first to 512 channels, the last to
    classes.

    Args:
        num_convs (int): Convolutions before the last. Defaults to 1.
        dilation (int): Dilation of all of them. Defaults to 12.
        concat_input (bool): Defaults to False.
        dropout_ratio (float): Defaults to 0.
        loss_decode (dict): Defaults to cross-entropy.
        init_cfg (dict, optional): Initialization config. Defaults to a
            uniform Xavier distribution.
        **kwargs: Further arguments of :class:`mmseg.FCNHead`, such as
            ``in_channels``, ``channels``, ``num_classes``, ``kernel_size``.
    """

    def __init__(self,
                 num_convs: int = 1,
                 dilation: int = 12,
                 concat_input: bool = False,
                 dropout_ratio: float = 0.,
                 loss_decode: ConfigType = dict(type='mmseg.CrossEntropyLoss'),
                 init_cfg: OptMultiConfig = dict(
                     type='Xavier', layer='Conv2d', distribution='uniform'),
                 **kwargs) -> None:
        super().__init__(
            num_convs=num_convs,
            dilation=dilation,
            concat_input=concat_input,
            dropout_ratio=dropout_ratio,
            loss_decode=loss_decode,
            init_cfg=init_cfg,
            **kwargs)
        self.conv_seg = nn.Conv2d(
            self.channels,
            self.out_channels,
            self.kernel_size,
            padding=self.kernel_size // 2 * dilation,
            dilation=dilation)
