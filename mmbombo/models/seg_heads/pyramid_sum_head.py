# Copyright (c) mmbombo contributors.
from typing import Sequence

import torch.nn.functional as F
from mmdet.utils import ConfigType
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmbombo.models.utils.conv_block import LEAKY_RELU, conv_block
from mmbombo.registry import MODELS
from mmbombo.utils import UserError


@MODELS.register_module()
class PyramidSumHead(BaseDecodeHead):
    """The segmentation head of BoMBo's networks, after Panoptic FPN.

    Level f of a pyramid that starts at stride 8 goes through f + 1 blocks,
    each followed by a nearest-neighbor enlargement by two, and is then at
    stride 4. The levels are added up, and three more blocks and a 1x1
    convolution without bias give the logits.

    In the paper these last four run at full resolution, two thirds of all
    multiply-adds of the ResNet-18 network. With ``refine_stride=4`` they run
    at stride 4 and the logits are enlarged instead: our own light variant,
    with the same weights.

    Args:
        in_channels (Sequence[int]): Channels of the levels, finest first.
        channels (int): Channels of the blocks. Defaults to 128.
        refine_stride (int): Stride of the last blocks in pixels: 1, as in the
            paper, or 4. Defaults to 1.
        norm_cfg (dict): Config of the normalization. Defaults to
            ``dict(type='BN')``.
        dropout_ratio (float): Defaults to 0, the paper's.
        loss_decode (dict): Defaults to cross-entropy.
        **kwargs: Further arguments of :class:`mmseg.BaseDecodeHead`, such as
            ``num_classes`` and ``ignore_index``.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 channels: int = 128,
                 refine_stride: int = 1,
                 norm_cfg: ConfigType = dict(type='BN'),
                 dropout_ratio: float = 0.,
                 loss_decode: ConfigType = dict(type='mmseg.CrossEntropyLoss'),
                 **kwargs) -> None:
        if refine_stride not in (1, 4):
            raise UserError('refine_stride of PyramidSumHead must be 1 or 4, '
                            f'not {refine_stride!r}')
        super().__init__(
            in_channels,
            channels,
            in_index=tuple(range(len(in_channels))),
            input_transform='multiple_select',
            norm_cfg=norm_cfg,
            act_cfg=LEAKY_RELU,
            dropout_ratio=dropout_ratio,
            loss_decode=loss_decode,
            **kwargs)
        self.refine_stride = refine_stride
        self.branches = nn.ModuleList(
            nn.ModuleList(
                conv_block(width if i == 0 else channels, channels, 3,
                           norm_cfg) for i in range(level + 1))
            for level, width in enumerate(in_channels))
        self.refine = nn.Sequential(
            *(conv_block(channels, channels, 3, norm_cfg) for _ in range(3)))
        self.conv_seg = nn.Conv2d(channels, self.out_channels, 1, bias=False)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits ``(N, out_channels, 8 * H_0, 8 * W_0)``.

        A quarter of the size with ``refine_stride=4``. The maps come finest
        first, the finest at stride 8.
        """
        levels = self._transform_inputs(inputs)
        height, width = levels[0].shape[-2:]
        # coarser levels pass the sizes of the finer ones, which are twice
        # their own wherever the input allows it
        sizes = [(2 * height, 2 * width), *(x.shape[-2:] for x in levels)]
        total = 0
        for level, (x, blocks) in enumerate(zip(levels, self.branches)):
            for i, block in enumerate(blocks):
                x = F.interpolate(block(x), size=sizes[level - i])
            total = total + x
        if self.refine_stride == 1:
            total = F.interpolate(total, scale_factor=4)
        return self.cls_seg(self.refine(total))
