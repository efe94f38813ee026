# Copyright (c) mmbombo contributors.
from typing import List

import torch
from mmdet.models.test_time_augs import DetTTAModel
from mmdet.structures import DetDataSample, SampleList
from mmdet.utils import OptConfigType
from mmengine.structures import PixelData
from torch import Tensor

from mmbombo.models.task_heads.map_task_head import MapTaskHead
from mmbombo.registry import MODELS

#: Axes of a map ``(C, H, W)`` that a flip turns.
FLIPPED = dict(horizontal=(-1, ), vertical=(-2, ), diagonal=(-2, -1))


@MODELS.register_module()
class MultiTaskTTAModel(DetTTAModel):
    """Merges what :class:`MultiTaskDetector` says of several views of an
    image, flipped and at several sizes.

    Boxes of all views go through one non-maximum suppression, as in
    MMDetection; probabilities of maps are averaged, as in MMSegmentation, and
    so are saliency and the scores of tags. Heads that are made from others
    answer from the merged predictions. The first view must not be flipped: it
    has the truth.

    Args:
        tta_cfg (dict, optional): ``nms`` and ``max_per_img`` of the boxes.
            Defaults to None, those of the detection head.
        **kwargs: ``module``, the config of the detector, and
            ``data_preprocessor``.
    """

    def __init__(self, tta_cfg: OptConfigType = None, **kwargs) -> None:
        super().__init__(tta_cfg, **kwargs)
        for head in self.module.task_heads.values():
            if isinstance(head, MapTaskHead):
                head.keep_logits = True
            cfg = getattr(head, 'test_cfg', None) or {}
            if self.tta_cfg is None and 'nms' in cfg:
                self.tta_cfg = cfg

    def merge_preds(self, data_samples_list: List[SampleList]) -> SampleList:
        """Merge the views of each image."""
        merged = super().merge_preds(data_samples_list)
        for head in self.module.task_heads.values():
            if head.needs:
                head.add_predictions((), None, merged,
                                     self.module.extract_feat)
        return merged

    def _merge_single_sample(self, data_samples: SampleList) -> DetDataSample:
        """Merge the views of one image, in the sample of the first."""
        merged = data_samples[0]
        if 'pred_instances' in merged:
            super()._merge_single_sample(data_samples)
        if 'seg_logits' in merged:
            ids = mean([
                unflipped(x.seg_logits.data.float().softmax(dim=0), x)
                for x in data_samples
            ]).argmax(dim=0, keepdim=True)
            merged.pred_sem_seg = PixelData(sem_seg=ids, data=ids)
            del merged.seg_logits
        if 'pred_saliency' in merged:
            merged.pred_saliency.data = mean(
                [unflipped(x.pred_saliency.data, x) for x in data_samples])
        if 'pred_image_label' in merged:
            merged.pred_image_label.score = mean(
                [x.pred_image_label.score for x in data_samples])
        return merged


def unflipped(pixels: Tensor, sample: DetDataSample) -> Tensor:
    """A map ``(C, H, W)`` of a view, as the image lies."""
    if not sample.get('flip'):
        return pixels
    return pixels.flip(FLIPPED[sample.flip_direction])


def mean(views: List[Tensor]) -> Tensor:
    """Mean of what the views of an image say."""
    return torch.stack(views).mean(dim=0)
