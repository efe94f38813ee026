# Copyright (c) mmbombo contributors.
from typing import Sequence, Tuple

import torch.nn.functional as F
from mmdet.utils import OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmbombo.registry import MODELS

#: Stages b2 to b7: blocks, stride of the first, dilation, dropout, and of the
#: convolutions of a block channels and kernel size.
STAGES = (
    (3, 2, 1, 0., ((128, 3), (128, 3))),
    (3, 2, 1, 0., ((256, 3), (256, 3))),
    (6, 2, 1, 0., ((512, 3), (512, 3))),
    (3, 1, 2, 0., ((512, 3), (1024, 3))),
    (1, 1, 4, .3, ((512, 1), (1024, 3), (2048, 1))),
    (1, 1, 4, .5, ((1024, 1), (2048, 3), (4096, 1))),
)
#: What the layers of a block are called, in the order of the forward pass.
BRANCHES = ('branch2a', 'branch2b1', 'branch2b2')


class PreActBlock(nn.Module):
    """Normalization, ReLU and convolution, two or three times, plus the input.

    The input goes through a 1x1 convolution where the shape changes, after the
    first normalization and ReLU.

    Args:
        in_channels (int): Channels of the input.
        convs (Sequence[tuple[int]]): Channels and kernel size of each
            convolution.
        stride (int): Stride of the first.
        dilations (Sequence[int]): Dilation of the first and of the others.
        dropout (float): Share of the channels that are dropped before each
            convolution but the first.
        with_cp (bool): Whether the block is computed again in the backward
            pass. Defaults to False.
    """

    def __init__(self,
                 in_channels: int,
                 convs: Sequence[Tuple[int, int]],
                 stride: int,
                 dilations: Sequence[int],
                 dropout: float,
                 with_cp: bool = False) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.branches = BRANCHES[:len(convs)]
        self.dropout = dropout
        width = in_channels
        for i, (channels, kernel_size) in enumerate(convs):
            dilation = dilations[i > 0]
            conv = nn.Conv2d(
                width,
                channels,
                kernel_size,
                1 if i else stride,
                padding=kernel_size // 2 * dilation,
                dilation=dilation,
                bias=False)
            self.add_module(f'bn_{BRANCHES[i]}', nn.BatchNorm2d(width))
            self.add_module(f'conv_{BRANCHES[i]}', conv)
            width = channels
        self.conv_branch1 = None
        if stride > 1 or width != in_channels:
            self.conv_branch1 = nn.Conv2d(
                in_channels, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both branches ``(N, C, H, W)``."""
        if self.with_cp:
            return checkpoint(self._forward, x, use_reentrant=False)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        shortcut = x
        for i, name in enumerate(self.branches):
            x = getattr(self, f'bn_{name}')(x).relu_()
            if i == 0 and self.conv_branch1 is not None:
                shortcut = self.conv_branch1(x)
            elif i > 0:
                x = F.dropout2d(x, self.dropout, self.training)
            x = getattr(self, f'conv_{name}')(x)
        return x + shortcut


@MODELS.register_module()
class WideResNet38(BaseModule):
    """Wide ResNet-38 at stride 8, as PSA, RRM, AuxSegNet and others use it.

    `Wider or Deeper <https://arxiv.org/abs/1611.10080>`_, its model A1 with
    dilation in place of stride from the fifth stage on: 105.07 million
    parameters, one map of 4,096 channels, 41x41 for 321x321 pixels.

    Layers have the names that they have in PSA's checkpoints (``conv1a``,
    ``b2``, ``b2_1`` ... ``b7``, ``bn7``), which load as they are, with
    ``init_cfg=dict(type='Pretrained', checkpoint='res38_cls.pth')``; what a
    head has left in them is not read. Of the authors' ``.params`` of MXNet
    ``tools/model_converters/wide_resnet38.py`` makes one.

    Args:
        width (float): Multiplier of all channels, for light networks.
            Defaults to 1.
        frozen_stages (int): How many stages do not train: 1 is ``conv1a``,
            2 also ``b2``, and so on. Defaults to 0.
        norm_eval (bool): Whether normalization is frozen, its statistics and
            its parameters, as in all these systems. Defaults to True.
        with_cp (bool): Whether blocks are computed again in the backward
            pass, which saves memory. Defaults to False.
        init_cfg (dict, optional): Initialization config. Defaults to None.
    """

    def __init__(self,
                 width: float = 1.,
                 frozen_stages: int = 0,
                 norm_eval: bool = True,
                 with_cp: bool = False,
                 init_cfg: OptMultiConfig = None) -> None:
        super().__init__(init_cfg)
        self.norm_eval = norm_eval
        channels = int(64 * width)
        self.conv1a = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.blocks = []
        last = 1
        for stage, row in enumerate(STAGES, 2):
            blocks, stride, dilation, dropout, convs = row
            convs = [(int(c * width), size) for c, size in convs]
            for i in range(blocks):
                self.blocks.append(f'b{stage}_{i}' if i else f'b{stage}')
                self.add_module(
                    self.blocks[-1],
                    PreActBlock(channels, convs, 1 if i else stride,
                                (last, dilation), dropout, with_cp))
                channels, last = convs[-1][0], dilation
        self.bn7 = nn.BatchNorm2d(channels)
        for name in ('conv1a', *self.blocks):
            stage = 1 if name == 'conv1a' else int(name[1])
            getattr(self, name).requires_grad_(stage > frozen_stages)
        self.train()

    def train(self, mode: bool = True) -> 'WideResNet38':
        """Switch the mode of all but frozen normalization."""
        super().train(mode)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d) and self.norm_eval:
                layer.eval().requires_grad_(False)
        return self

    def forward(self, x: Tensor) -> Tuple[Tensor]:
        """One map ``(N, 4096, H / 8, W / 8)``."""
        x = self.conv1a(x)
        for name in self.blocks:
            x = getattr(self, name)(x)
        return (self.bn7(x).relu_(), )
