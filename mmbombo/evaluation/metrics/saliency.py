# Copyright (c) mmbombo contributors.
"""How near saliency maps are to what is salient."""
from typing import Dict, List, Sequence

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmbombo.registry import METRICS
from mmbombo.structures import IGNORE_INDEX

#: Weight of precision against recall, the usual one.
BETA2 = 0.3
#: Thresholds of 8-bit maps.
LEVELS = 256


@METRICS.register_module()
class SaliencyMetric(BaseMetric):
    """Mean absolute error, maximal F-measure and IoU of saliency maps.

    The truth is ``gt_saliency``, salient above one half, or of a sample
    without one all that its mask shows but the background, the id 0: give the
    evaluator ``kinds=dict(sal='sem_seg')``.

    The F-measure (Achanta et al., CVPR 2009) is that of the mean precision and
    the mean recall of the images that show something, at the best of 255
    thresholds.

    Arguments are those of the base class.
    """

    default_prefix = 'saliency'
    #: Result that stands for the task, and its full mark.
    score = ('maxF', 1.)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of ``pred_saliency`` of a batch."""
        for sample in data_samples:
            truth, known = truth_of(sample)
            pred = sample['pred_saliency']['data'][known].float()
            truth = truth[known].to(pred.device)
            if len(pred):
                self.results.append(measure(pred, truth))

    def compute_metrics(self, results: List[tuple]) -> Dict[str, float]:
        """Compute the means over the images.

        Returns:
            dict[str, float]: ``MAE``, ``maxF`` and ``IoU`` at a threshold of
            one half, all in [0, 1]; NaN if no image shows anything.
        """
        if not results:
            return dict.fromkeys(('MAE', 'maxF', 'IoU'), float('nan'))
        errors, ious, precisions, recalls = (
            torch.stack(x) for x in zip(*results))
        # an image that shows nothing has no recall
        precision, recall = (
            x[~recalls[:, 0].isnan()].mean(0) for x in (precisions, recalls))
        f_measure = (1 + BETA2) * precision * recall / (BETA2 * precision +
                                                        recall).clamp(min=1e-9)
        return dict(
            MAE=float(errors.mean()),
            # at the level 0 everything would be salient
            maxF=float(f_measure[1:].max()),
            IoU=float(ious.nanmean()))


def truth_of(sample: dict) -> tuple:
    """What is salient in a sample, and where it is known, ``(1, H, W)``."""
    if 'gt_saliency' in sample:
        saliency = sample['gt_saliency']['data']
        return saliency > 0.5, saliency >= 0
    ids = sample['gt_sem_seg']['data']
    return ids != 0, ids != IGNORE_INDEX


def measure(pred: Tensor, truth: Tensor) -> tuple:
    """Values of an image of n >= 1 known pixels: ``pred`` in 0 to 1, ``truth``
    bool.

    Returns the mean absolute error and IoU, scalars; precision and recall
    ``(256, )`` of pixels of at least each level. NaN where there is nothing to
    divide by, but for the precision, then 1.
    """
    levels = (pred * (LEVELS - 1)).round().long()
    counts = torch.stack(
        [torch.bincount(levels[x], minlength=LEVELS) for x in (truth, ~truth)])
    hits, misses = counts.double().flip(1).cumsum(1).flip(1)
    salient = pred > 0.5
    return ((pred - truth.float()).abs().mean(),
            (salient & truth).sum() / (salient | truth).sum().float(),
            (hits / (hits + misses)).nan_to_num(1.),
            hits / truth.sum().double())
