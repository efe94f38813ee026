# Copyright (c) mmbombo contributors.
from typing import Dict, List, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric

from mmbombo.registry import METRICS
from mmbombo.structures.image_labels import PRESENT


@METRICS.register_module()
class TopAccuracyMetric(BaseMetric):
    """Share of the images, in percent, whose class is among the k of the
    highest scores. Ties and NaN count against a network, and images of which
    not exactly one class is known to be present do not count.

    Args:
        topk (Sequence[int]): Defaults to (1, ).
        **kwargs: Arguments of the base class.
    """

    default_prefix = 'tags'
    #: Result that stands for the task, and its full mark.
    score = ('top1', 100.)

    def __init__(self, topk: Sequence[int] = (1, ), **kwargs) -> None:
        super().__init__(**kwargs)
        self.topk = topk

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep at which place, from 0, the class of each image is."""
        for sample in data_samples:
            score = sample['pred_image_label']['score'].cpu().numpy()
            label = sample['gt_image_label']['label'].cpu().numpy()
            own = label == PRESENT
            if own.sum() == 1:
                self.results.append(int((~(score < score[own])).sum()) - 1)

    def compute_metrics(self, results: List[int]) -> Dict[str, float]:
        """``top<k>`` of each k."""
        places = np.array(results)
        return {f'top{k}': 100 * float((places < k).mean()) for k in self.topk}
