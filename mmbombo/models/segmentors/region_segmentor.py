# Copyright (c) mmbombo contributors.
from typing import Dict, Tuple

import torch
import torch.nn.functional as F
from mmseg.models.segmentors.base import BaseSegmentor
from mmseg.utils import (ConfigType, OptConfigType, OptMultiConfig,
                         OptSampleList, SampleList, add_prefix)
from torch import Tensor

from mmbombo.registry import MODELS


@MODELS.register_module()
class RegionSegmentor(BaseSegmentor):
    """A segmentor that labels regions, and learns from pixels.

    Samples carry ``regions`` (:obj:`Regions`), which ``PackRegions`` makes.

    Args:
        backbone (dict): Config of the backbone.
        decode_head (dict): Config of a head such as :class:`RegionHead`.
        neck (dict, optional): Config of the neck. Defaults to None.
        data_preprocessor (dict, optional): That of MMSegmentation. Defaults
            to None.
        init_cfg (dict, optional): Initialization config. Defaults to None.
    """

    align_corners = False

    def __init__(self,
                 backbone: ConfigType,
                 decode_head: ConfigType,
                 neck: OptConfigType = None,
                 data_preprocessor: OptConfigType = None,
                 init_cfg: OptMultiConfig = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck) if neck is not None else None
        self.decode_head = MODELS.build(decode_head)
        self.out_channels = self.decode_head.out_channels

    def extract_feat(self, inputs: Tensor) -> Tuple[Tensor, ...]:
        """Feature maps of images ``(N, 3, H, W)``."""
        feats = self.backbone(inputs)
        return self.neck(feats) if self.with_neck else feats

    def loss(self, inputs: Tensor,
             data_samples: SampleList) -> Dict[str, Tensor]:
        """Losses of images ``(N, 3, H, W)`` with regions and masks."""
        return add_prefix(
            self.decode_head.loss(self.extract_feat(inputs), data_samples),
            'decode')

    def encode_decode(self, inputs: Tensor,
                      batch_data_samples: OptSampleList = None) -> Tensor:
        """Logits ``(N, num_classes, H, W)``, zero in the padding."""
        size = inputs.shape[-2:]
        logits = self.decode_head(
            self.extract_feat(inputs), batch_data_samples)
        return torch.stack([
            F.pad(x, (0, size[1] - x.size(2), 0, size[0] - x.size(1)))
            for x in logits
        ])

    def predict(self,
                inputs: Tensor,
                data_samples: OptSampleList = None) -> SampleList:
        """Samples with ``pred_sem_seg`` and ``seg_logits``, at the size of
        the files."""
        return self.postprocess_result(
            self.encode_decode(inputs, data_samples), data_samples)

    _forward = encode_decode
