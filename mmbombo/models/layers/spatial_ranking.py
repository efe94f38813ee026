# Copyright (c) mmbombo contributors.
"""Which instance lies on top: the spatial ranking module of OANet.

`An End-to-End Network for Panoptic Segmentation
<https://arxiv.org/abs/1903.05027>`_, section 3.3. No code of it is published;
kernel size and the choice of pixels are from memory of the paper.
"""
from typing import Dict, Optional, Tuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmbombo.models.losses.dist_mean import full_precision, ratio_over_ranks
from mmbombo.utils import UserError
from mmbombo.utils.checkpoint import load_weights

RANK_MODES = ('srm', 'score', 'area', 'srm*score')


class SpatialRanking(BaseModule):
    """Scores instances by their classes and where their masks are.

    Masks are pasted by class, and a large kernel turns what overlaps there
    into scores of the classes. Instances of one class share their channel:
    which of two lies on top cannot be told. Masks are binary, so no gradient
    reaches what predicted them.

    Args:
        num_classes (int): Classes of things, C.
        kernel_size (int): Odd; k x 1 and 1 x k, in both orders. Defaults
            to 7.
        stride (int): Pixels between cells. Defaults to 8; the paper, as we
            remember it, has 1, which is 341 MB for each image of COCO.
        loss_weight (float): Defaults to 1.
        init_cfg (dict, optional): ``dict(type='Pretrained', checkpoint=...)``
            of a ranking that was trained alone, or of a whole OANet.
    """

    def __init__(self,
                 num_classes: int,
                 kernel_size: int = 7,
                 stride: int = 8,
                 loss_weight: float = 1.,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.num_classes = num_classes
        self.stride = stride
        self.loss_weight = loss_weight
        if kernel_size % 2 == 0:
            raise UserError(
                f'kernel_size={kernel_size} of SpatialRanking is even')
        k, pad = kernel_size, kernel_size // 2
        column = dict(kernel_size=(k, 1), padding=(pad, 0))
        row = dict(kernel_size=(1, k), padding=(0, pad))
        self.orders = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(num_classes, num_classes, **first),
                nn.Conv2d(num_classes, num_classes, **second))
            for first, second in ((column, row), (row, column)))

    def init_weights(self) -> None:
        """As its base, which only logs it if weights do not fit."""
        if not self.init_cfg or self.init_cfg['type'] != 'Pretrained':
            super().init_weights()
            return
        path = self.init_cfg['checkpoint']
        prefix = self.init_cfg.get('prefix', 'panoptic_fusion_head.srm.')
        checkpoint = CheckpointLoader.load_checkpoint(path, 'cpu')
        weights = {
            key[len(prefix):]: value
            for key, value in checkpoint['state_dict'].items()
            if key.startswith(prefix)
        }
        load_weights(self, weights, f'SpatialRanking, {path}: ')

    def size(self, height: int, width: int) -> Tuple[int, int]:
        """Cells of an image of so many pixels."""
        return -(-height // self.stride), -(-width // self.stride)

    def paste(self, masks: Tensor, labels: Tensor, size: Tuple[int,
                                                               int]) -> Tensor:
        """Instances by class: masks ``(K, H, W)`` and labels ``(K,)`` to
        ``(C, h, w)`` of 0 and 1."""
        return self._by_class(at_cells(masks, size), labels)

    def forward(self, instances: Tensor) -> Tensor:
        """Logits of the class on top, ``(N, C, h, w)`` like the input."""
        first, second = self.orders
        return first(instances) + second(instances)

    def loss(self, instances: Tensor, target: Tensor) -> Dict[str, Tensor]:
        """Cross-entropy where classes overlap, mean over all ranks.

        Args:
            instances (Tensor): ``(N, C, h, w)``, see :meth:`paste`.
            target (Tensor): The visible class ``(N, h, w)``, any number for
                none. Cells count that two classes or more cover, of which one
                is visible.

        Returns:
            dict: ``loss_srm``, 0 with a gradient of 0 where no cell counts;
            ``srm_cells``, how many count, and ``srm_acc``, in percent.
        """
        logits = full_precision(self(instances))
        label = target.long().clamp(0, self.num_classes - 1)
        conflict = (instances.sum(1) > 1) & (label == target) & (
            instances.gather(1, label[:, None])[:, 0] > 0)
        cells = conflict.sum()
        loss = F.cross_entropy(
            logits, label.masked_fill(~conflict, -100), reduction='sum')
        right = ((logits.argmax(1) == label) & conflict).sum()
        return dict(
            loss_srm=self.loss_weight * ratio_over_ranks(loss, cells),
            srm_cells=cells.float(),
            srm_acc=100. * right / cells.clamp(min=1))

    @torch.no_grad()
    def scores(self,
               masks: Tensor,
               labels: Tensor,
               size: Optional[Tuple[int, int]] = None) -> Tensor:
        """Mean probability ``(K,)`` of an instance's class in its mask, 0 for
        an empty one.

        Args:
            masks (Tensor): ``(K, H, W)`` bool.
            labels (Tensor): ``(K,)``.
            size (tuple, optional): Cells of the map, as many as in training.
                Defaults to None, those of H x W pixels.
        """
        size = size or self.size(*masks.shape[-2:])
        cells = at_cells(masks, size)
        small = ~cells.flatten(1).any(1)
        if small.any():  # between the centers: all cells that it touches
            cells[small] = F.adaptive_max_pool2d(masks[small].float(),
                                                 size) > 0
        weight = self.orders[0][0].weight
        logits = self(self._by_class(cells, labels).to(weight)[None])[0]
        probs = full_precision(logits).softmax(0)[labels]
        sums = (probs * cells).flatten(1).sum(1)
        return sums / cells.flatten(1).sum(1).clamp(min=1)

    def _by_class(self, cells: Tensor, labels: Tensor) -> Tensor:
        by_class = torch.zeros(
            self.num_classes, *cells.shape[1:], device=cells.device)
        by_class.index_add_(0, labels, cells.to(by_class))
        return by_class.clamp_(max=1)


def at_cells(maps: Tensor, size: Tuple[int, int]) -> Tensor:
    """Maps ``(..., H, W)`` at the centers of ``size`` cells."""
    rows, columns = (((torch.arange(cells, device=maps.device) + 0.5) *
                      pixels / cells).long()
                     for cells, pixels in zip(size, maps.shape[-2:]))
    return maps[..., rows[:, None], columns]


def check_rank_mode(mode: str) -> None:
    """Raise ``UserError`` for one that is not in :data:`RANK_MODES`."""
    if mode not in RANK_MODES:
        raise UserError(f'rank_mode={mode!r} is none of {RANK_MODES}')


def rank_instances(mode: str,
                   masks: Tensor,
                   labels: Tensor,
                   scores: Tensor,
                   srm: Optional[SpatialRanking] = None,
                   size: Optional[Tuple[int, int]] = None) -> Tensor:
    """Order in which instances are laid: indices ``(K,)``, the top first.

    Args:
        mode (str): By spatial ranking (``'srm'``), by the detector's score
            (``'score'``), small ones first (``'area'``) or by the product of
            the first two (``'srm*score'``); ties by score.
        masks (Tensor): ``(K, H, W)`` bool.
        labels (Tensor): ``(K,)``, and so are the detector's ``scores``.
        srm (SpatialRanking, optional): What ``'srm'`` asks.
        size (tuple, optional): See :meth:`SpatialRanking.scores`.
    """
    check_rank_mode(mode)
    order = scores.argsort(descending=True, stable=True)
    if mode == 'score' or not len(labels):
        return order
    if mode == 'area':
        rank = -masks.flatten(1).sum(1)
    else:
        rank = srm.scores(masks, labels, size)
        if mode == 'srm*score':
            rank = rank * scores
    return order[rank[order].argsort(descending=True, stable=True)]
