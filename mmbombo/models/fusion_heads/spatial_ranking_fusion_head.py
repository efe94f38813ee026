# Copyright (c) mmbombo contributors.
from typing import Dict, List, Tuple

import torch
from mmdet.models import HeuristicFusionHead
from mmdet.utils import InstanceList
from mmengine.structures import InstanceData
from torch import Tensor

from mmbombo.models.layers import (RANK_MODES, SpatialRanking, at_cells,
                                   rank_instances)
from mmbombo.registry import MODELS
from mmbombo.utils import UserError


@MODELS.register_module()
class SpatialRankingFusionHead(HeuristicFusionHead):
    """Panoptic FPN's merge, in the order of OANet's spatial ranking.

    Args:
        srm (dict): Arguments of :class:`SpatialRanking`, without the number
            of classes.
        rank_mode (str): See :func:`rank_instances`. Defaults to 'srm'.
        train_source (str): The instances that the ranking learns from:
            ``'pred'``, the detector's own, or ``'gt'``, annotated masks that
            overlap, which those of a panoptic PNG never do. Defaults to
            'pred'.
        **kwargs: Arguments of mmdet's head.
    """

    #: Images with two instances or more, of which one must overlap.
    patience = 100

    def __init__(self,
                 *args,
                 srm: dict = dict(),
                 rank_mode: str = 'srm',
                 train_source: str = 'pred',
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if train_source not in ('gt', 'pred') or rank_mode not in RANK_MODES:
            raise UserError(
                f'SpatialRankingFusionHead: train_source={train_source!r} is '
                f"'gt' or 'pred', rank_mode={rank_mode!r} one of {RANK_MODES}")
        self.srm = SpatialRanking(self.num_things_classes, **srm)
        self.rank_mode = rank_mode
        self.train_source = train_source
        self._images_without = 0

    def loss(self, instances: InstanceList,
             sem_segs: List[Tensor]) -> Dict[str, Tensor]:
        """See :meth:`SpatialRanking.loss`.

        Args:
            instances (list): ``masks`` ``(K, h, w)`` bool on the cells of a
                batch's images, and ``labels``.
            sem_segs (list): What is visible, ``(1, H, W)``, things first.
        """
        size = self.srm.size(*sem_segs[0].shape[-2:])
        pasted = [self.srm.paste(x.masks, x.labels, size) for x in instances]
        target = [at_cells(seg[0], size) for seg in sem_segs]
        return self.srm.loss(torch.stack(pasted), torch.stack(target))

    def annotated(self, instances: InstanceList,
                  shape: Tuple[int, int]) -> InstanceList:
        """Annotated instances on the cells of images of a shape."""
        size = self.srm.size(*shape)
        found = []
        for x in instances:
            masks = x.masks.to_tensor(torch.bool, x.labels.device)
            found.append(
                InstanceData(masks=at_cells(masks, size), labels=x.labels))
        self._check_overlap(found)
        return found

    def _check_overlap(self, instances: InstanceList) -> None:
        several = [x.masks for x in instances if len(x) > 1]
        if self._images_without is None or not several:
            return
        if any((masks.sum(0) > 1).any() for masks in several):
            self._images_without = None
            return
        self._images_without += len(several)
        if self._images_without >= self.patience:
            raise UserError(
                "train_source='gt' of SpatialRankingFusionHead: no masks "
                f'overlap in {self._images_without} images. Those of a '
                'panoptic PNG never do: read others with '
                'CocoPanopticInstanceDataset(instance_ann_file=...) and '
                "LoadPanopticInstances, or use train_source='pred'")

    def rank(self, instances: InstanceData) -> Tensor:
        """Indices ``(K,)`` of instances, the one on top first, which get
        ``ranks``, too. Their ``img_shape``, if they have it, is that of the
        network's input."""
        size = None
        if 'img_shape' in instances:
            size = self.srm.size(*instances.img_shape)
        order = rank_instances(self.rank_mode, instances.masks,
                               instances.labels, instances.scores, self.srm,
                               size)
        instances.ranks = order.argsort()
        return order

    def _lay_masks(self,
                   mask_results: InstanceData,
                   overlap_thr: float = 0.5) -> Tuple[Tensor, Tensor]:
        """As mmdet's, which lays what scores highest first."""
        ranked = mask_results[self.rank(mask_results)]
        ranked.scores = -ranked.ranks.float()
        return super()._lay_masks(ranked, overlap_thr)
