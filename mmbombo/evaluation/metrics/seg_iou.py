# Copyright (c) mmbombo contributors.
"""IoU of segmentation maps, also returned for each class."""
from typing import Dict, List, Sequence

from mmseg.evaluation import IoUMetric
from torch import Tensor

from mmbombo.registry import METRICS
from mmbombo.utils import UserError


@METRICS.register_module()
class SegIoUMetric(IoUMetric):
    """:class:`mmseg.IoUMetric` that also returns ``<class>_IoU``.

    Arguments are those of the base class. Ground truth ids outside the
    classes are an error here, where the base class drops those pixels
    without a word. All values are percentages (0-100), NaN for a class that
    neither ground truth nor predictions show.
    """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of ``pred_sem_seg`` and ``gt_sem_seg``, each with
        ``data`` of shape (1, H, W)."""
        if not self.format_only:
            for sample in data_samples:
                self._check_ids(sample)
        super().process(data_batch, data_samples)

    def _check_ids(self, sample: dict) -> None:
        ids = sample['gt_sem_seg']['data']
        num_classes = len(self.dataset_meta['classes'])
        wrong = ids[(ids >= num_classes) & (ids != self.ignore_index)]
        if len(wrong):
            raise UserError(
                f"the mask of '{sample.get('img_path')}' has the id "
                f'{int(wrong[0])}, but there are {num_classes} segmentation '
                f'classes (ids 0 to {num_classes - 1}, '
                f'{self.ignore_index} = ignored)')

    def compute_metrics(self, results: List[tuple]) -> Dict[str, float]:
        """Compute the metrics from the areas (intersection, union,
        prediction, label), each (num_classes, ), of each image.

        Returns:
            dict[str, float]: ``aAcc``, ``mIoU``, ``mAcc`` and whatever else
            ``iou_metrics`` asks for, and ``<class>_IoU`` with 'mIoU'.
        """
        results = [tuple(sum_areas(results))]
        scores = {
            name: float(value)
            for name, value in super().compute_metrics(results).items()
        }
        if 'mIoU' not in scores:
            return scores
        (intersect, union, _, _), = results
        for name, iou in zip(self.dataset_meta['classes'], intersect / union):
            scores[f'{name}_IoU'] = float(iou) * 100
        return scores


def sum_areas(results: List[tuple]) -> List[Tensor]:
    """Intersection, union, prediction and label (C, ) over all images."""
    # Sums of float32 pixel counts go wrong beyond 2 ** 24 pixels.
    return [sum(area.double() for area in areas) for areas in zip(*results)]
