# Copyright (c) mmbombo contributors.
from typing import Dict, List, Sequence

import torch
from mmengine.evaluator import BaseMetric

from mmbombo.models.layers import rank_instances
from mmbombo.registry import METRICS
from ..functional import order_pairs


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
            ranks = dict(accuracy=ranks)
            for mode in ('score', 'area'):
                ranks[mode] = rank_instances(mode, masks, labels,
                                             scores).argsort()
            counts = {
                name: order_pairs(masks, labels, x, visible)
                for name, x in ranks.items()
            }
            self.results.append(counts)

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """In percent, and ``pairs``, how many there are."""
        right = {
            name: sum(x[name][0] for x in results)
            for name in ('accuracy', 'score', 'area')
        }
        pairs = sum(x['area'][1] for x in results)
        return dict({
            k: 100. * v / max(pairs, 1)
            for k, v in right.items()
        },
                    pairs=pairs)
