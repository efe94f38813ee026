# Copyright (c) mmbombo contributors.
"""Average precision of tags."""
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
