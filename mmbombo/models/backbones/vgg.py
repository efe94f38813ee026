# Copyright (c) mmbombo contributors.
from typing import Tuple

from mmcv.cnn import VGG as PlainVGG
from mmdet.utils import OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor

from mmbombo.registry import MODELS


@MODELS.register_module()
class VGG(PlainVGG, BaseModule):
    """MMCV's VGG without the last pooling, whose last map is at stride 16.

    Weights of torchvision's VGG fit.

    Args:
        depth (int): Number of layers. Defaults to 16.
        init_cfg (dict, optional): Initialization config. Defaults to None.
        **kwargs: Arguments of :class:`mmcv.cnn.VGG`.
    """

    def __init__(self,
                 depth: int = 16,
                 init_cfg: OptMultiConfig = None,
                 **kwargs) -> None:
        super().__init__(
            depth, out_indices=(4, ), with_last_pool=False, **kwargs)
        self.init_cfg = init_cfg

    def init_weights(self) -> None:
        """Initialize by ``init_cfg``."""
        BaseModule.init_weights(self)

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """The map ``(N, 512, H // 16, W // 16)`` of images."""
        return (super().forward(x), )
