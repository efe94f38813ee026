# Copyright (c) mmbombo contributors.
"""Average precision of tags, and accuracy where each image has one."""
from typing import Dict, List, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from sklearn.metrics import average_precision_score

from mmbombo.registry import METRICS
from mmbombo.structures.image_labels import ABSENT, PRESENT, UNKNOWN


@METRICS.register_module()
class ImageLabelAPMetric(BaseMetric):
    """Mean over the classes of scikit-learn's ``average_precision_score``.

    Of each class the images of which it is known whether they show it are
    ranked by their score.

    Arguments are those of the base class.
    """

    default_prefix = 'tags'
    #: Result that stands for the task, and its full mark.
    score = ('mAP', 1.)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep ``pred_image_label`` and ``gt_image_label`` of a batch."""
        self.results += [(sample['pred_image_label']['score'].cpu().numpy(),
                          sample['gt_image_label']['label'].cpu().numpy())
                         for sample in data_samples]

    def compute_metrics(self, results: List[tuple]) -> Dict[str, float]:
        """Compute AP from scores and labels ``(C, )`` of each image.

        Returns:
            dict[str, float]: ``mAP`` in [0, 1], the mean over the classes
            that an image shows, NaN if there is none, and ``<class>_AP``, NaN
            for a class that no image shows.
        """
        scores, labels = (np.stack(part) for part in zip(*results))
        aps = {
            name: class_ap(labels[:, i], scores[:, i])
            for i, name in enumerate(self.dataset_meta['classes'])
        }
        defined = [ap for ap in aps.values() if not np.isnan(ap)]
        return dict(
            mAP=float(np.mean(defined)) if defined else np.nan,
            **{
                f'{name}_AP': ap
                for name, ap in aps.items()
            })


def class_ap(labels: np.ndarray, scores: np.ndarray) -> float:
    """AP of one class over N images, NaN if none shows it; labels ``(N, )``
    are 1 (present), 0 (absent) or -1 (unknown)."""
    known = labels != UNKNOWN
    if not ((labels == PRESENT).any() and (labels == ABSENT).any()):
        return float('nan')
    return float(average_precision_score(labels[known], scores[known]))


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
