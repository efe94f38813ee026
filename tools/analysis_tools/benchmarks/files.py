# Copyright (c) mmbombo contributors.
"""What is measured on files: a worker's pipeline, and pseudo masks."""
import hashlib
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, Iterator, List, Tuple
from unittest.mock import patch

import cv2
import numpy as np
import torch
from mmdet.datasets import BaseDetDataset
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope
from PIL import Image

from mmbombo.datasets import draw_seed
from mmbombo.datasets.draw_seed import SeededIndex, seed_generators
from mmbombo.registry import DATASETS
from mmbombo.weak_labels.grabcut import grabcut_foreground, window
from .rows import compare, make_row, milliseconds, require_same
from .start_up import data_cfg, mmdet_pipeline


def pipeline(options: Namespace) -> Iterator[dict]:
    """Ours and MMDetection's own transforms, on the same files with the same
    seeds in each pass. MMDetection would not seed its draws (.01 ms each)."""
    in_scope = DefaultScope.overwrite_default_scope
    with TemporaryDirectory() as cache, in_scope('mmbombo'):
        cfg = data_cfg(options.data, cache)
        source, both = cfg.det_source, ('bbox', 'sem_seg')
        ours = DATASETS.build(dict(source, annotation_kinds=both))
        weak = DATASETS.build(dict(source, pipeline=cfg.weak_pipeline))
        with in_scope('mmdet'):
            stock = Listed(ours, mmdet_pipeline(cfg, with_seg=True))
        count = min(options.images, len(ours))
        same = all(same_sample(ours, stock, i) for i in range(count))
        require_same(same, 'samples')
        rows = dict(
            pipeline=(ours, 'the same boxes and map', 1 / .98),
            pipeline_pseudo_mask=(weak, 'boxes and a cached pseudo mask',
                                  1 / .9))
        for name, (dataset, what, goal) in rows.items():
            text = f'time to read {count} images with {what} / with mmdet'
            yield compare(
                options,
                name,
                text,
                goal,
                ours=reader(dataset, count),
                mmdet=reader(stock, count))


class Listed(BaseDetDataset):
    """What another data set lists, with a pipeline of MMDetection."""

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
        """Draws what ours draws."""
        seed_generators(idx.draw_seed)
        return super().__getitem__(idx)


def same_sample(ours: BaseDataset, stock: BaseDataset, index: int) -> bool:
    """Whether one seed gives the same sample."""
    first, second = (x[SeededIndex(index, index)] for x in (ours, stock))
    a, b = first['data_samples'], second['data_samples']
    boxes = (x.gt_instances.bboxes.tensor for x in (a, b))
    return bool((first['inputs'] == second['inputs']).all()
                and torch.equal(*boxes)
                and (a.gt_sem_seg.sem_seg == b.gt_sem_seg.sem_seg).all())


def reader(dataset: BaseDataset, count: int) -> Callable:
    """Reads the first images, as in a worker."""

    def read() -> None:
        with patch.object(draw_seed, 'in_worker', lambda: True):
            for i in range(count):
                dataset[SeededIndex(i, i)]

    return read


def pseudo_masks(options: Namespace) -> Iterator[dict]:
    """GrabCut of each box against plain cv2.grabCut on the whole image, on
    training images that no option was chosen on. IoU is with the visible part
    of the object, in each box."""
    cuts = dict(ours=grabcut_foreground, plain=plain_grabcut)
    times, ious = ({side: [] for side in cuts} for _ in range(2))
    for image, rects, objects in samples(options):
        for side, cut in cuts.items():
            found: List[np.ndarray] = []
            spent = milliseconds(
                lambda: found.extend(cut(image, rect) for rect in rects))
            times[side].append(spent / len(rects))
            for number, (rect, mask) in enumerate(zip(rects, found), start=1):
                view = objects[window(rect)]
                mask, truth = mask & (view != 255), view == number
                union = max(1, (mask | truth).sum())
                ious[side].append((mask & truth).sum() / union)
    yield make_row('pseudo_masks', 'time per box / of plain cv2.grabCut, by '
                   'image', 1 / 8, np.divide(*times.values()), times.items())
    ours, plain = map(np.mean, ious.values())
    text = (f'mean IoU of plain cv2.grabCut, {plain:.4f} / ours, {ours:.4f}, '
            f'{len(ious["ours"])} boxes')
    yield make_row('pseudo_masks_iou', text, 1., [plain / ours])


def for_reports(name: str) -> bool:
    """Whether an image is for reports: options are chosen on the other half,
    by the hash of the name."""
    return hashlib.sha1(name.encode()).digest()[0] % 2 == 1


def samples(options: Namespace) -> Iterator[Tuple[np.ndarray, ...]]:
    """Image (H, W, 3) BGR, boxes (K, 4) int, and a map (H, W) of the number
    of the box, from 1 on, of which a pixel shows the object."""
    with DefaultScope.overwrite_default_scope('mmbombo'):
        cfg = data_cfg(options.data, '')
        load = cfg.train_pipeline[:2]
        dataset = DATASETS.build(dict(cfg.det_source, pipeline=load))
    paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    names = [Path(path).stem for path in paths]
    chosen = [i for i, name in enumerate(names) if for_reports(name)]
    for i in chosen[:options.images]:
        sample = dataset[i]
        rects = sample['gt_bboxes'].tensor.numpy().astype(int)
        objects = options.data / 'SegmentationObject' / f'{names[i]}.png'
        if len(rects):
            yield sample['img'], rects, np.array(Image.open(objects))


def plain_grabcut(image: np.ndarray, rect: np.ndarray) -> np.ndarray:
    """(h, w) bool foreground of a box, as OpenCV's documentation shows it."""
    x1, y1, x2, y2 = (int(v) for v in rect)
    trimap = np.zeros(image.shape[:2], dtype=np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    # OpenCV's own examples take 5 iterations
    cv2.grabCut(image, trimap, (x1, y1, x2 - x1, y2 - y1), *models, 5,
                cv2.GC_INIT_WITH_RECT)
    return (trimap[window(rect)] & 1) == 1
