# Copyright (c) mmbombo contributors.
from typing import Dict, Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.models import PanopticFPNHead
from mmdet.models.layers import ConvUpsample
from mmengine.model import ModuleList
from torch import Tensor, nn

from mmbombo.registry import MODELS
from mmbombo.utils import UserError


@MODELS.register_module()
class OANetStuffHead(PanopticFPNHead):
    """The stuff branch of OANet.

    Two convolutions on each level, all of which are enlarged to the first and
    concatenated; one more, and the logits. Things are learned, too, but
    :class:`OANet` lays stuff alone. Channels are those of Panoptic FPN, as
    the paper, as we remember it, does not say them.

    Args:
        share (str): What it has in common with the detector beside the
            backbone: ``'fpn'``, the pyramid, or ``'rpn_conv'``, the
            convolution of the RPN on it, too. Defaults to 'fpn'.
        end_level (int): Levels of the pyramid. Defaults to 5.
        **kwargs: Arguments of mmdet's head.
    """

    def __init__(self,
                 *args,
                 share: str = 'fpn',
                 end_level: int = 5,
                 norm_cfg: dict = dict(
                     type='GN', num_groups=32, requires_grad=True),
                 **kwargs) -> None:
        super().__init__(
            *args, end_level=end_level, norm_cfg=norm_cfg, **kwargs)
        if share not in ('fpn', 'rpn_conv'):
            raise UserError(
                f"share={share!r} of OANetStuffHead: 'fpn' or 'rpn_conv'")
        self.share = share
        self.num_classes = self.num_things_classes + self.num_stuff_classes
        channels = self.inner_channels
        in_channels = self.conv_upsample_layers[0].conv[0].in_channels
        self.conv_upsample_layers = ModuleList(
            ConvUpsample(
                in_channels,
                channels,
                num_layers=2,
                num_upsample=0,
                norm_cfg=norm_cfg) for _ in range(self.num_stages))
        self.fusion = ConvModule(
            self.num_stages * channels,
            channels,
            3,
            padding=1,
            norm_cfg=norm_cfg)
        self.conv_logits = nn.Conv2d(channels, self.num_classes, 1)

    def _set_things_to_void(self, gt_semantic_seg: Tensor) -> Tensor:
        """Things are learned, each class."""
        return gt_semantic_seg

    def forward(self, x: Sequence[Tensor]) -> Dict[str, Tensor]:
        """Logits ``seg_preds`` ``(N, C, H, W)`` of all classes."""
        assert len(x) >= self.start_level + self.num_stages, 'end_level'
        levels = x[self.start_level:self.start_level + self.num_stages]
        feats = [
            F.interpolate(
                convs(level),
                size=levels[0].shape[-2:],
                mode='bilinear',
                align_corners=False)
            for convs, level in zip(self.conv_upsample_layers, levels)
        ]
        seg_feats = self.fusion(torch.cat(feats, dim=1))
        return dict(seg_preds=self.conv_logits(seg_feats), seg_feats=seg_feats)
