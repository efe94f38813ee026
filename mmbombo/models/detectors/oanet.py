# Copyright (c) mmbombo contributors.
from contextlib import contextmanager
from copy import deepcopy
from typing import Dict, Iterator, List, Sequence

import torch
import torch.nn.functional as F
from mmdet.models import PanopticFPN
from mmdet.structures import SampleList
from mmdet.utils import InstanceList
from mmengine.structures import PixelData
from torch import Tensor

from mmbombo.models.seg_heads import OANetStuffHead
from mmbombo.registry import MODELS


@MODELS.register_module()
class OANet(PanopticFPN):
    """`An End-to-End Network for Panoptic Segmentation
    <https://arxiv.org/abs/1903.05027>`_, after its paper as we remember it.

    Panoptic FPN whose merge learns which instance lies on top, see
    :class:`SpatialRankingFusionHead`. ``semantic_head`` is an
    :class:`OANetStuffHead`, or mmdet's ``PanopticFPNHead``: then checkpoints
    of mmdet's Panoptic FPN fit, and the ranking alone is new.
    """

    def loss(self, batch_inputs: Tensor,
             batch_data_samples: SampleList) -> Dict[str, Tensor]:
        """Losses of Panoptic FPN, and ``loss_srm``.

        Masks and maps of the samples are padded like the images.
        """
        x = self.extract_feat(batch_inputs)
        rpn_samples = deepcopy(batch_data_samples)
        for sample in rpn_samples:
            sample.gt_instances.labels.zero_()
        with self._shared(x) as shared:
            rpn_losses, proposals = self.rpn_head.loss_and_predict(
                x,
                rpn_samples,
                proposal_cfg=self.train_cfg.get('rpn_proposal',
                                                self.test_cfg.rpn))
        losses = {
            key if 'rpn' in key else f'rpn_{key}': value
            for key, value in rpn_losses.items()
        }
        # which renames the boxes of the proposals
        losses.update(
            self.roi_head.loss(x, [p.new() for p in proposals],
                               batch_data_samples))
        losses.update(self.semantic_head.loss(shared, batch_data_samples))

        head = self.panoptic_fusion_head
        if head.train_source == 'gt':
            instances = head.annotated(
                [sample.gt_instances for sample in batch_data_samples])
        else:
            instances = self._instances_at_cells(x, proposals,
                                                 batch_inputs.shape[-2:])
        losses.update(
            head.loss(
                instances,
                [sample.gt_sem_seg.sem_seg for sample in batch_data_samples]))
        return losses

    @torch.no_grad()
    def _instances_at_cells(self, x: Sequence[Tensor], proposals: InstanceList,
                            shape: Sequence[int]) -> InstanceList:
        """What is detected, with masks pasted on the cells of the ranking, as
        if they were the pixels of the original image."""
        cells = self.panoptic_fusion_head.srm.size(*shape)
        meta = dict(
            img_shape=tuple(shape),
            ori_shape=cells,
            scale_factor=(shape[1] / cells[1], shape[0] / cells[0]))
        metas = [meta] * len(proposals)
        head = self.roi_head
        training = head.training
        head.eval()  # statistics of a normalization are for the losses
        results = head.predict_bbox(x, metas, proposals, head.test_cfg)
        results = head.predict_mask(x, metas, results, rescale=True)
        head.train(training)
        return results

    def predict(self,
                batch_inputs: Tensor,
                batch_data_samples: SampleList,
                rescale: bool = True) -> SampleList:
        """``pred_panoptic_seg``, and what it is made of.

        Returns:
            list: Samples, also with ``pred_instances``, whose ``ranks`` say
            in which order they were laid, and with ``pred_sem_seg``, the map
            of the semantic head.
        """
        x = self.extract_feat(batch_inputs)
        with self._shared(x) as shared:
            proposals = self.rpn_head.predict(
                x, batch_data_samples, rescale=False)
        instances = self.roi_head.predict(
            x, proposals, batch_data_samples, rescale=rescale)
        metas = [sample.metainfo for sample in batch_data_samples]
        logits = self.semantic_head.predict(shared, metas, rescale)
        for found, meta in zip(instances, metas):
            found.set_metainfo(dict(img_shape=meta['img_shape']))
        # logits of things come first, if there are any
        first = self.num_things_classes
        if isinstance(self.semantic_head, OANetStuffHead):
            stuff, offset = [x[first:] for x in logits], 0
        else:
            stuff, offset = logits, first
        panoptic = self.panoptic_fusion_head.predict(instances, stuff)
        for sample, found, sem, pan in zip(batch_data_samples, instances,
                                           logits, panoptic):
            classes = sem.argmax(0, keepdim=True) + offset
            sample.pred_instances = found
            sample.pred_sem_seg = PixelData(sem_seg=classes, data=classes)
            sample.pred_panoptic_seg = pan
        return batch_data_samples

    @contextmanager
    def _shared(self, x: Sequence[Tensor]) -> Iterator[List[Tensor]]:
        """The features of the semantic head: the pyramid, or what the RPN
        makes of it meanwhile."""
        if getattr(self.semantic_head, 'share', 'fpn') == 'fpn':
            yield x
            return
        shared = []
        hook = self.rpn_head.rpn_conv.register_forward_hook(
            lambda *args: shared.append(F.relu(args[-1])))
        try:
            yield shared
        finally:
            hook.remove()
