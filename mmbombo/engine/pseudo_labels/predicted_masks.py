# Copyright (c) mmbombo contributors.
from typing import Iterable

import torch
from mmdet.structures import SampleList
from torch import Tensor, nn

from mmbombo.registry import TASK_UTILS
from .mask_writer import MaskWriter, label_ids, possible_classes


@TASK_UTILS.register_module()
class PredictedMasks(MaskWriter):
    """What the segmentation head predicts.

    Args:
        threshold (float): A pixel is 255 where no class reaches this
            probability. Defaults to 0.
        use_tags (bool): Whether classes that the tags of an image rule out
            are never written. Defaults to True.
    """

    def __init__(self, threshold: float = 0., use_tags: bool = True) -> None:
        self.threshold = threshold
        self.use_tags = use_tags

    def ids(self, model: nn.Module, inputs: Tensor,
            samples: SampleList) -> Iterable[Tensor]:
        """The most probable of the possible classes."""
        rules = self.rules & self.use_tags
        possible = torch.stack([possible_classes(x, rules) for x in samples])
        head = model.head('seg')
        feats = ()
        if head.predicts_from_features:
            feats = model.extract_feat(inputs)
        for logits in head.full_logits(feats, inputs, samples,
                                       model.extract_feat,
                                       possible.to(inputs.device)):
            yield label_ids(logits.softmax(0), self.threshold)
