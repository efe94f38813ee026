# Copyright (c) mmbombo contributors.
from typing import Sequence, Tuple

import torch.nn.functional as F
from mmdet.models.necks import FPN
from mmdet.utils import ConfigType, OptMultiConfig
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from mmbombo.models.utils.conv_block import LEAKY_RELU, conv_block
from mmbombo.registry import MODELS
from mmbombo.utils import UserError


@MODELS.register_module()
class ContextPyramid(BaseModule):
    """Context enhancement and a feature pyramid on one map.

    The neck of BoMBo's networks. The two finest maps of the backbone, at
    strides s and 2s, and the mean of its last map are brought to the same
    number of channels and added up at stride s. A chain of 3x3 convolutions
    makes the levels at strides s, 2s, 4s, ... of the sum, and an FPN or PAFPN
    fuses them.

    The FPN is :class:`mmdet.FPN`. The bottom-up path is our own: the one of
    :class:`mmdet.PAFPN` has no convolution on its finest level, and the size
    of the reference network says that it has one on each.

    Args:
        in_channels (Sequence[int]): Channels of the backbone's two or three
            maps, finest first; the last one gives the context.
        out_channels (int): Channels of every level. Defaults to 256.
        num_levels (int): Number of levels. Defaults to 4, the paper's for
            inputs of 320 pixels.
        fusion (str): 'fpn' or 'pafpn'. Defaults to 'fpn'.
        norm_cfg (dict): Config of the normalization. Defaults to
            ``dict(type='BN')``.
        init_cfg (dict, optional): Initialization config. Defaults to None.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 out_channels: int = 256,
                 num_levels: int = 4,
                 fusion: str = 'fpn',
                 norm_cfg: ConfigType = dict(type='BN'),
                 init_cfg: OptMultiConfig = None) -> None:
        super().__init__(init_cfg=init_cfg)
        if len(in_channels) not in (2, 3):
            raise UserError('ContextPyramid takes 2 or 3 maps of the '
                            f'backbone, got in_channels={in_channels}')
        if fusion not in ('fpn', 'pafpn'):
            raise UserError("fusion of ContextPyramid must be 'fpn' or "
                            f"'pafpn', not {fusion!r}")
        self.in_channels = tuple(in_channels)
        self.fine, self.coarse, self.context = (
            conv_block(channels, out_channels, 1, norm_cfg, act=False)
            for channels in (*in_channels[:2], in_channels[-1]))
        self.act = nn.LeakyReLU(LEAKY_RELU['negative_slope'], inplace=True)
        self.levels = ModuleList(
            conv_block(
                out_channels, out_channels, 3, norm_cfg, stride=min(i, 1) + 1)
            for i in range(num_levels))
        self.top_down = FPN(
            [out_channels] * num_levels,
            out_channels,
            num_levels,
            norm_cfg=norm_cfg,
            act_cfg=LEAKY_RELU)
        self.bottom_up = BottomUpPath(
            out_channels, num_levels,
            norm_cfg) if fusion == 'pafpn' else nn.Identity()

    def forward(self, feats: Sequence[Tensor]) -> Tuple[Tensor, ...]:
        """``num_levels`` maps ``(N, out_channels, H_l, W_l)``.

        The first is as large as the backbone's first.
        """
        x = self.enhance(feats)
        levels = []
        for conv in self.levels:
            x = conv(x)
            levels.append(x)
        return tuple(self.bottom_up(self.top_down(levels)))

    def enhance(self, feats: Sequence[Tensor]) -> Tensor:
        """Add fine map, coarse map and context ``(N, out_channels, H, W)``."""
        if len(feats) != len(self.in_channels):
            raise UserError(
                f'ContextPyramid has in_channels={self.in_channels}, but the '
                f'backbone gives {len(feats)} maps: see its out_indices')
        fine, coarse = self.fine(feats[0]), self.coarse(feats[1])
        context = self.context(F.adaptive_avg_pool2d(feats[-1], 1))
        coarse = F.interpolate(coarse, size=fine.shape[-2:], mode='nearest')
        return self.act(fine + coarse + context)


class BottomUpPath(BaseModule):
    """The bottom-up path of PANet: finer levels are added to coarser ones."""

    def __init__(self, channels: int, num_levels: int,
                 norm_cfg: ConfigType) -> None:
        super().__init__()
        self.downsample = ModuleList(
            conv_block(channels, channels, 3, norm_cfg, stride=2)
            for _ in range(num_levels - 1))
        self.outputs = ModuleList(
            conv_block(channels, channels, 3, norm_cfg)
            for _ in range(num_levels))

    def forward(self, levels: Sequence[Tensor]) -> Tuple[Tensor, ...]:
        """Fuse maps ``(N, C, H_l, W_l)``, finest first."""
        fused = [levels[0]]
        for conv, level in zip(self.downsample, levels[1:]):
            fused.append(level + conv(fused[-1]))
        return tuple(conv(x) for conv, x in zip(self.outputs, fused))
