# Copyright (c) mmbombo contributors.
"""The training data pipeline of one worker against mmdet's own transforms.

The same files, boxes and map; samples of equal seeds are compared first, and
the same seeds are drawn in each pass, so that either side does the same work.
The data sets are in the times: each hands over the annotation of an image and
seeds the draw as in a worker, which MMDetection would not do at all (some
0.01 ms an image). A further row reads boxes and, in place of the map, the
pseudo mask from the cache.
"""
from argparse import Namespace
from tempfile import TemporaryDirectory
from typing import Callable, List
from unittest.mock import patch

import torch
from mmdet.datasets import BaseDetDataset
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope

from mmbombo.datasets import draw_seed
from mmbombo.datasets.draw_seed import SeededIndex, seed_generators
from mmbombo.registry import DATASETS
from .rows import Row, in_turn, ratio_of
from .voc_sources import (bombo_pipeline, class_names, mmdet_pipeline,
                          our_pipeline, our_source)

BOTH = ('bbox', 'sem_seg')


def run(options: Namespace) -> List[Row]:
    """Compare samples, then the times."""
    root, classes = options.data, class_names(options.data)
    with TemporaryDirectory() as cache, DefaultScope.overwrite_default_scope(
            'mmbombo'):
        both = DATASETS.build(our_source(root, 'det', BOTH, our_pipeline()))
        pseudo = DATASETS.build(
            our_source(root, 'det', ('bbox', ), bombo_pipeline(classes,
                                                               cache)))
        with DefaultScope.overwrite_default_scope('mmdet'):
            stock = Listed(both, mmdet_pipeline(with_seg=True))
        count = min(options.images, len(both))
        same = all(same_sample(both, stock, i) for i in range(count))
        return [
            compare(options, reader(both, count), reader(stock, count),
                    'pipeline', .98, 'the same boxes and map', count,
                    {'same image, boxes and map': same}),
            compare(options, reader(pseudo, count), reader(stock, count),
                    'pipeline_pseudo_mask', .9,
                    'boxes and the cached pseudo mask', count, {})
        ]


class Listed(BaseDetDataset):
    """What another data set lists, with a pipeline of MMDetection.

    Args:
        other (BaseDataset): The other data set.
        pipeline (list[dict]): Transforms.
    """

    def __init__(self, other: BaseDataset, pipeline: List[dict]) -> None:
        self.other = other
        super().__init__(metainfo=other.metainfo, pipeline=pipeline)

    def load_data_list(self) -> List[dict]:
        """Annotations, without what only our transforms read."""
        ours = ('annotation_kinds', 'source', 'seg_id_table', 'sample_idx')
        infos = map(self.other.get_data_info, range(len(self.other)))
        return [{
            key: value
            for key, value in info.items() if key not in ours
        } for info in infos]

    def __getitem__(self, idx: int) -> dict:
        """Draws what ours draws; MMDetection itself does not seed."""
        seed_generators(idx.draw_seed)
        return super().__getitem__(idx)


def same_sample(ours: BaseDataset, stock: BaseDataset, index: int) -> bool:
    """Whether one seed gives the same sample."""
    seeded = SeededIndex(index, index)
    first, second = ours[seeded], stock[seeded]
    a, b = first['data_samples'], second['data_samples']
    return bool((first['inputs'] == second['inputs']).all() and torch.equal(
        a.gt_instances.bboxes.tensor, b.gt_instances.bboxes.tensor)
                and (a.gt_sem_seg.sem_seg == b.gt_sem_seg.sem_seg).all())


def reader(dataset: BaseDataset, count: int) -> Callable:
    """Reads the first images."""

    def read() -> None:
        with patch.object(draw_seed, 'in_worker', lambda: True):
            for i in range(count):
                dataset[SeededIndex(i, i)]

    return read


def compare(options: Namespace, ours: Callable, stock: Callable, name: str,
            goal: float, what: str, count: int, conditions: dict) -> Row:
    """Row of one of our pipelines; the first pass fills the cache."""
    ours_ms, stock_ms = in_turn(ours, stock, options.repeats)
    ratio, spread = ratio_of(stock_ms, ours_ms)
    return Row(
        name,
        ratio,
        goal,
        'at least',
        spread,
        f'images per second of ours with {what} / of mmdet',
        conditions=conditions,
        figures={
            'images':
            count,
            'images per second, ours':
            round(1e3 * count / sorted(ours_ms)[len(ours_ms) // 2], 1)
        },
        times=dict(ours=ours_ms, mmdet=stock_ms))
