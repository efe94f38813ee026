# Copyright (c) mmbombo contributors.
"""IoU of what lies along the boundaries of segmentation maps."""
from typing import Dict, List, Sequence

import cv2
import numpy as np
from mmengine.evaluator import BaseMetric

from mmbombo.registry import METRICS
from mmbombo.structures import IGNORE_INDEX


@METRICS.register_module()
class BoundaryIoUMetric(BaseMetric):
    """Boundary IoU of `Cheng et al., CVPR 2021
    <https://arxiv.org/abs/2103.16562>`_ for semantic maps.

    Of each class the pixels count that are within a distance of its contour,
    in its mask: those that erosion takes away. They are summed over the
    images, as mIoU does. As in the authors' code, distance is that of a
    square, and the border of the image is a contour. What borders on pixels
    without a label (255) is none here, and those count nowhere.

    Args:
        dilation_ratio (float): Distance, as a share of the diagonal of the
            image. Defaults to 0.02.
        **kwargs: Arguments of :class:`mmengine.BaseMetric`.
    """

    default_prefix = 'seg'

    def __init__(self, dilation_ratio: float = 0.02, **kwargs) -> None:
        super().__init__(**kwargs)
        self.dilation_ratio = dilation_ratio

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of ``pred_sem_seg`` and ``gt_sem_seg``, each with
        ``data`` of shape (1, H, W)."""
        for sample in data_samples:
            truth, pred = (
                sample[field]['data'].squeeze(0).cpu().numpy()
                for field in ('gt_sem_seg', 'pred_sem_seg'))
            distance = round(self.dilation_ratio * np.hypot(*truth.shape))
            self.results.append(
                boundary_areas(truth, pred, max(distance, 1),
                               len(self.dataset_meta['classes'])))

    def compute_metrics(self, results: List[np.ndarray]) -> Dict[str, float]:
        """Compute IoU from pixels in common and in all ``(2, C)`` of each
        image.

        Returns:
            dict[str, float]: ``mBIoU`` and ``<class>_BIoU``, percentages
            (0-100), NaN for a class that no map shows.
        """
        with np.errstate(invalid='ignore'):
            common, union = np.sum(results, axis=0)
            ious = 100 * common / union
        shown = ious[~np.isnan(ious)]
        scores = dict(mBIoU=float(shown.mean()) if len(shown) else np.nan)
        for name, iou in zip(self.dataset_meta['classes'], ious):
            scores[f'{name}_BIoU'] = float(iou)
        return scores


def boundary_areas(truth: np.ndarray, pred: np.ndarray, distance: int,
                   num_classes: int) -> np.ndarray:
    """Pixels near the boundaries of each class in both maps ``(H, W)``, and
    in either, ``(2, num_classes)``."""
    areas = np.zeros((2, num_classes), dtype=np.int64)
    known = truth != IGNORE_INDEX
    for label in np.union1d(truth[known], pred[known]):
        one, other = (
            boundary(ids == label, known, distance) for ids in (truth, pred))
        areas[:, label] = (one & other).sum(), (one | other).sum()
    return areas


def boundary(mask: np.ndarray, known: np.ndarray,
             distance: int) -> np.ndarray:
    """Pixels of a mask ``(H, W)`` that are at most ``distance`` pixels from
    one that is not, or from the outside of the image."""
    square = np.ones((2 * distance + 1, 2 * distance + 1), dtype=np.uint8)
    inner = cv2.erode((mask | ~known).astype(np.uint8), square,
                      borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask & known & (inner == 0)
