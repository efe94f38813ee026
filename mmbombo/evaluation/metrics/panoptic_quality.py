# Copyright (c) mmbombo contributors.
"""Panoptic quality."""
import os.path as osp
from functools import cached_property
from typing import Dict, List, Optional, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.fileio import load
from mmengine.logging import print_log
from PIL import Image
from terminaltables import AsciiTable

from mmbombo.registry import METRICS
from mmbombo.structures.panoptic import read_segments
from mmbombo.utils import UserError
from mmbombo.visualization.palette import BACKGROUND
from ..functional.panoptic_quality import VOID, match_segments


@METRICS.register_module()
class PanopticQualityMetric(BaseMetric):
    """PQ, as MMDetection's ``CocoPanopticMetric`` computes it with
    ``panopticapi``, which is not needed here, nor are files written.

    The truth of an image is the annotation whose PNG is named like it.
    Classes go by name: those of the prediction (``label_names``), or of a
    network of MMDetection those of its data set. A predicted background is
    void where the truth has no such category. Several crowds of one class in
    an image all count; ``panopticapi`` looks at the last one.

    Args:
        ann_file (str): COCO's panoptic JSON.
        seg_prefix (str, optional): Folder of the PNG files. Defaults to None,
            named like the JSON file and beside it.
        **kwargs: ``collect_device`` and ``prefix`` of the base class.
    """

    default_prefix = 'panoptic'
    #: Result that stands for the task, and its full mark.
    score = ('PQ', 100.)

    def __init__(self,
                 ann_file: str,
                 seg_prefix: Optional[str] = None,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        if not osp.isfile(ann_file):
            raise UserError('PanopticQualityMetric: there is no '
                            f'ann_file={ann_file!r}')
        self.ann_file = ann_file
        self.seg_prefix = seg_prefix or osp.splitext(ann_file)[0]

    @cached_property
    def content(self) -> dict:
        """dict: Of the JSON file, once it is needed."""
        return load(self.ann_file)

    @cached_property
    def index(self) -> Dict[str, int]:
        """dict: Place of each category in the JSON file, by its name."""
        return {x['name']: i for i, x in enumerate(self.content['categories'])}

    @cached_property
    def annotations(self) -> Dict[str, dict]:
        """dict: The annotation of each image, by its name."""
        found = {_stem(x['file_name']): x for x in self.content['annotations']}
        if len(found) < len(self.content['annotations']):
            raise UserError(f'{self.ann_file}: two images have one name, in '
                            'two folders perhaps; rename one')
        return found

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Match the segments of ``pred_panoptic_seg`` of a batch."""
        class_of_id = {
            x['id']: i
            for i, x in enumerate(self.content['categories'])
        }
        for sample in data_samples:
            predicted = sample['pred_panoptic_seg']
            names = predicted.get('label_names') or \
                self.dataset_meta['classes']
            pred, segments = read_segments(predicted['sem_seg'], names)
            classes = [self._class_of(x['class_name']) for x in segments]
            truth, ids, infos = self._read_truth(sample['img_path'])
            if truth.shape != pred.shape:
                raise UserError(f"{sample['img_path']}: the prediction is "
                                f'{pred.shape}, the truth {truth.shape}')
            # ids that the JSON file does not list are void
            infos = [infos.get(i, {}) for i in ids]
            self.results.append(
                match_segments(
                    truth, pred,
                    np.array([
                        class_of_id.get(x.get('category_id'), VOID)
                        for x in infos
                    ]), np.array([VOID, *classes]),
                    np.array([x.get('iscrowd', 0) == 1 for x in infos]),
                    len(self.index)))

    def _class_of(self, name: str) -> int:
        if name not in self.index and name != BACKGROUND:
            raise UserError(f"{self.ann_file} has no category '{name}', which "
                            f'is predicted, but {list(self.index)}')
        return self.index.get(name, VOID)

    def _read_truth(self, img_path: str) -> tuple:
        """Segments ``(H, W)``, the id of each, and what is said of them."""
        if _stem(img_path) not in self.annotations:
            raise UserError(f'{self.ann_file} has no annotation of {img_path}')
        annotation = self.annotations[_stem(img_path)]
        with Image.open(osp.join(self.seg_prefix,
                                 annotation['file_name'])) as png:
            ids = np.array(png.convert('RGB')) @ np.array([1, 256, 256**2])
        values, truth = np.unique(ids, return_inverse=True)
        infos = {x['id']: x for x in annotation['segments_info']}
        return truth.reshape(ids.shape), values.tolist(), infos

    def compute_metrics(self, results: List[np.ndarray]) -> Dict[str, float]:
        """Average over the classes that are there or are predicted.

        Returns:
            dict[str, float]: ``PQ``, ``SQ``, ``RQ``, those of things
            (``PQ_th``) and of stuff (``PQ_st``), and ``<class>_PQ``, in
            percent; NaN where there is no class to average over.
        """
        iou, right, wrong, missed = sum(results, np.zeros(
            (4, len(self.index))))
        with np.errstate(invalid='ignore'):
            rq = right / (right + (wrong + missed) / 2)
        sq = iou / np.maximum(right, 1)
        values = dict(PQ=100 * sq * rq, SQ=100 * sq, RQ=100 * rq)
        categories = self.content['categories']
        things = np.array([x['isthing'] == 1 for x in categories])
        scores, rows = dict(), [('', *values)]
        for title, suffix, kind in (('all', '', things | True),
                                    ('things', '_th', things), ('stuff', '_st',
                                                                ~things)):
            kind = kind & ~np.isnan(rq)
            means = [
                float(x[kind].mean()) if kind.any() else float('nan')
                for x in values.values()
            ]
            scores.update(zip((name + suffix for name in values), means))
            rows.append((title, *(f'{x:.2f}' for x in means)))
        print_log('\n' + AsciiTable(rows).table, logger='current')
        for name, value in zip(self.index, values['PQ'].tolist()):
            scores[f'{name}_PQ'] = value
        return scores


def _stem(path: str) -> str:
    return osp.splitext(osp.basename(path))[0]
