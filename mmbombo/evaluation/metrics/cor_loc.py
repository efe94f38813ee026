# Copyright (c) mmbombo contributors.
from typing import Dict, List

import numpy as np

from mmbombo.evaluation.functional.voc_average_precision import box_ious
from mmbombo.registry import METRICS
from .voc_ap import VOCAPMetric


@METRICS.register_module()
class CorLocMetric(VOCAPMetric):
    """Correct localization: how often the best box of a class is right.

    Of the images that show a class, not counting difficult objects, those in
    which the box of the highest score of that class overlaps one of its true
    boxes by an IoU of at least 0.5. Weakly supervised detection is measured
    so on its training images.

    Source: Deselaers et al., "Weakly Supervised Localization and Learning with
    Generic Knowledge", IJCV 2012.

    Args:
        classwise (bool): Whether to return ``<class>_CorLoc``, too. Defaults
            to True.
        **kwargs: Arguments of :class:`mmengine.BaseMetric`.
    """

    default_prefix = 'voc'
    #: Result that stands for the task, and its full mark.
    score = ('CorLoc', 1.)

    def __init__(self, classwise: bool = True, **kwargs) -> None:
        super().__init__(classwise=classwise, **kwargs)

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """Compute the shares of all images.

        Returns:
            dict[str, float]: ``CorLoc`` in [0, 1], the mean over the classes
            that an image shows, -1 if there is none; NaN for a class that
            none does.
        """
        names = self.dataset_meta['classes']
        hits: List[list] = [[] for _ in names]
        for image in results:
            for label in np.unique(image['true_labels'][~image['difficult']]):
                hits[label].append(is_localized(image, label))
        shares = [np.mean(x) if x else np.nan for x in hits]
        shown = [x for x in shares if not np.isnan(x)]
        scores = dict(CorLoc=float(np.mean(shown)) if shown else -1.)
        if self.classwise:
            scores.update({
                f'{name}_CorLoc': float(x)
                for name, x in zip(names, shares)
            })
        return scores


def is_localized(image: dict, label: int) -> bool:
    """Whether an image's best box of a class is right."""
    found = image['labels'] == label
    if not found.any():
        return False
    best = image['boxes'][found][image['scores'][found].argmax()]
    own = (image['true_labels'] == label) & ~image['difficult']
    return bool((box_ious(best[None], image['true_boxes'][own]) >= .5).any())
