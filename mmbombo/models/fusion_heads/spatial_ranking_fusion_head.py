# Copyright (c) mmbombo contributors.
from typing import Dict, List, Optional, Tuple

import torch
from mmdet.models import HeuristicFusionHead
from mmdet.utils import InstanceList
from mmengine.dist import all_reduce
from mmengine.structures import InstanceData
from torch import Tensor

from mmbombo.models.layers import (SpatialRanking, at_cells, check_rank_mode,
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
        check_rank_mode(rank_mode)
        if train_source not in ('gt', 'pred'):
            raise UserError(f'train_source={train_source!r} of '
                            "SpatialRankingFusionHead: 'gt' or 'pred'")
        self.srm = SpatialRanking(self.num_things_classes, **srm)
        self.rank_mode = rank_mode
        self.train_source = train_source
        #: Images of all ranks, of which none overlapped; None once one did.
        self._images_without: Optional[int] = 0

    def loss(self, instances: InstanceList,
             sem_segs: List[Tensor]) -> Dict[str, Tensor]:
        """See :meth:`SpatialRanking.loss`.

        Args:
            instances (list): ``masks`` ``(K, H, W)`` bool of a batch's
                images, or on their cells, and ``labels``.
            sem_segs (list): What is visible, ``(1, H, W)``, things first.
        """
        size = self.srm.size(*sem_segs[0].shape[-2:])
        pasted = [self.srm.paste(x.masks, x.labels, size) for x in instances]
        target = [at_cells(seg[0], size) for seg in sem_segs]
        return self.srm.loss(torch.stack(pasted), torch.stack(target))

    def annotated(self, instances: InstanceList) -> InstanceList:
        """Annotated instances, their masks as tensors."""
        found = [
            InstanceData(
                masks=x.masks.to_tensor(torch.bool, x.labels.device),
                labels=x.labels) for x in instances
        ]
        if self._images_without is not None:
            self._check_overlap(found)
        return found

    def _check_overlap(self, instances: InstanceList) -> None:
        several = [x.masks for x in instances if len(x) > 1]
        overlap = sum(bool((x.sum(0) > 1).any()) for x in several)
        counts = instances[0].labels.new_tensor([len(several), overlap])
        all_reduce(counts)  # or one rank would stop and the others wait
        number, overlap = counts.tolist()
        if overlap:
            self._images_without = None
            return
        self._images_without += number
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
