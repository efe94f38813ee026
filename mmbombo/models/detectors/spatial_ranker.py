# Copyright (c) mmbombo contributors.
from typing import Dict, Union

import torch
from mmdet.structures import SampleList
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor

from mmbombo.registry import MODELS


@MODELS.register_module()
class SpatialRanker(BaseModel):
    """The ranking of :class:`OANet` alone, which needs no images.

    Its parameters have the names that they have in :class:`OANet`.

    Args:
        panoptic_fusion_head (dict): A :class:`SpatialRankingFusionHead`.
        data_preprocessor (dict): mmdet's, with ``pad_mask`` and ``pad_seg``.
    """

    def __init__(self, panoptic_fusion_head: dict,
                 data_preprocessor: dict) -> None:
        super().__init__(data_preprocessor)
        self.panoptic_fusion_head = MODELS.build(panoptic_fusion_head)

    def forward(self,
                inputs: Tensor,
                data_samples: SampleList,
                mode: str = 'loss') -> Union[Dict[str, Tensor], SampleList]:
        """Losses, or samples whose annotated instances have ``ranks``, and
        scores by chance."""
        head = self.panoptic_fusion_head
        annotated = [sample.gt_instances for sample in data_samples]
        if mode == 'loss':
            return head.loss(
                head.annotated(annotated),
                [sample.gt_sem_seg.sem_seg for sample in data_samples])
        for sample, x in zip(data_samples, annotated):
            masks = x.masks.to_tensor(torch.bool, x.labels.device)
            sample.pred_instances = InstanceData(
                masks=masks,
                labels=x.labels,
                scores=torch.rand(len(masks), device=masks.device))
            head.rank(sample.pred_instances)
        return data_samples
