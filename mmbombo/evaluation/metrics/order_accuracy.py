# Copyright (c) mmbombo contributors.
from typing import Dict, List, Sequence, Tuple

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmbombo.models.layers import rank_instances
from mmbombo.registry import METRICS


@METRICS.register_module()
class OrderAccuracy(BaseMetric):
    """Part of the overlapping pairs of two classes that are laid as in the
    picture: by the ``ranks`` of predicted instances, and the same instances by
    score and by area.

    See :func:`order_pairs`; ``gt_sem_seg`` has the numbers of the classes of
    the instances, and their size.
    """
    default_prefix = 'order'

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            visible = torch.as_tensor(sample['gt_sem_seg']['sem_seg'])[0]
            found = sample['pred_instances']
            masks, labels, scores, ranks = (
                torch.as_tensor(found[key], device=visible.device)
                for key in ('masks', 'labels', 'scores', 'ranks'))
            by = [
                rank_instances(mode, masks, labels, scores).argsort()
                for mode in ('score', 'area')
            ]
            counts = [
                order_pairs(masks, labels, x, visible) for x in (ranks, *by)
            ]
            self.results.append([right
                                 for right, _ in counts] + [counts[0][1]])

    def compute_metrics(self, results: List[List[int]]) -> Dict[str, float]:
        """In percent, and ``pairs``, how many there are."""
        *right, pairs = map(sum, zip([0] * 4, *results))
        scores = (100. * x / max(pairs, 1) for x in right)
        return dict(zip(('accuracy', 'score', 'area'), scores), pairs=pairs)


def order_pairs(masks: Tensor, labels: Tensor, ranks: Tensor,
                visible: Tensor) -> Tuple[int, int]:
    """How many overlapping pairs of two classes lie as in the picture.

    The one on top is that whose class is visible at more of the pixels that
    both cover; a pair of which neither is, or both are equally, is not
    counted. A map of classes says nothing of two instances of one class.

    Args:
        masks (Tensor): ``(K, H, W)`` bool.
        labels (Tensor): ``(K,)``.
        ranks (Tensor): ``(K,)``, smaller is on top.
        visible (Tensor): ``(H, W)``, the class at each pixel.

    Returns:
        tuple: How many are right, and how many there are.
    """
    flat = masks.flatten(1).float()
    seen = flat * (labels[:, None] == visible.flatten())
    # pixels of both that show the class of the first
    shows = seen @ flat.T
    above = shows > shows.T
    above &= labels[:, None] != labels
    right = above & (ranks[:, None] < ranks)
    return int(right.sum()), int(above.sum())
