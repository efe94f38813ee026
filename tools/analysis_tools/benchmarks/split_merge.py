# Copyright (c) mmbombo contributors.
"""M4B's split/merge of a batch against a NumPy loop with the same result.

16 masks with 10 components each, labeled before the clock starts (the time
of that is printed), and 30 predictions. Of the components some are several
objects that touch, some are halves of one object, and others are one object;
the predictions are the objects, imprecise, and wrong ones.
"""
from argparse import Namespace
from typing import Dict, List

import cv2
import numpy as np
import torch

from mmbombo.weak_labels import label_components, refine_boxes
from .rows import Row, in_turn, ratio_of, timed
from .split_merge_loop import Image

NUM_IMAGES, NUM_COMPS, NUM_PREDS = 16, 10, 30
SIDE, NUM_CLASSES = 320, 6
OPTIONS = dict(score_thr=.3, iou_thr=.5, containment_thr=.7, cover_thr=.5,
               min_area=80, rounds=4, max_splits=8)
#: Grid cells of an image; a component is in one, of 4 rows of 3.
ROWS, COLS = 4, 3


def run(options: Namespace) -> List[Row]:
    """Compare the results, then the times."""
    rng = np.random.default_rng(0)
    drawn = [draw(rng) for _ in range(NUM_IMAGES)]
    labeling, images = timed(
        lambda: [label_components(image['mask'], OPTIONS['min_area'],
                                  range(1, NUM_CLASSES + 1))
                 for image in drawn])
    for _, table in images:
        assert len(table['labels']) == NUM_COMPS
    compatible = np.eye(NUM_CLASSES + 1, NUM_CLASSES, k=-1, dtype=bool)
    batch = to_batch(images, drawn, compatible, options.device)

    def ours():
        refined = refine_boxes(**batch, **OPTIONS)
        if options.device != 'cpu':
            torch.cuda.synchronize(options.device)
        return refined

    def loop():
        return [
            Image(component_map,
                  (table['boxes'], table['labels'], table['areas']),
                  (image['boxes'], image['scores'], image['labels']),
                  compatible, OPTIONS).refine()
            for (component_map, table), image in zip(images, drawn)
        ]

    refined = ours()
    same = all(as_lists(refined, i) == wanted
               for i, wanted in enumerate(loop()))
    loop_ms, ours_ms = in_turn(loop, ours, options.repeats)
    ratio, spread = ratio_of(loop_ms, ours_ms)
    return [
        Row(f'split_merge_{torch.device(options.device).type}',
            ratio,
            3. if options.device == 'cpu' else 20.,
            'at least',
            spread,
            'time of the loop (CPU) / of refine_boxes',
            conditions={'same result': same},
            figures={
                'masks, components, predictions, side':
                (NUM_IMAGES, NUM_COMPS, NUM_PREDS, SIDE),
                'outcome': {
                    key: int(value)
                    for key, value in refined.counts.items()
                },
                'labeling of components, ms per mask (not in the times)':
                round(labeling / NUM_IMAGES, 3)
            },
            times=dict(loop=loop_ms, ours=ours_ms))
    ]


def draw(rng: np.random.Generator) -> Dict[str, np.ndarray]:
    """A mask and predictions.

    Returns:
        dict: ``mask`` (SIDE, SIDE) uint8 segmentation ids and ``boxes``
        (30, 4) float32, ``scores`` (30,), ``labels`` (30,) of predictions.
    """
    mask = np.zeros((SIDE, SIDE), np.uint8)
    boxes, labels = [], []
    cells = rng.permutation(ROWS * COLS)
    # Halves lie in one cell and are two components.
    kinds = ['touching'] * 3 + ['halves'] * 2 + ['single'] * 3
    for cell, kind in zip(cells, kinds):
        height, width = SIDE // ROWS, SIDE // COLS
        x, y = cell % COLS * width + 3, cell // COLS * height + 3
        w = int(rng.integers(70, width - 6))
        h = int(rng.integers(40, height - 6))
        seg_id = int(rng.integers(1, NUM_CLASSES + 1))
        parts = [(x, y, x + w, y + h)]
        if kind == 'touching':
            cut = x + int(w * rng.uniform(.4, .6))
            parts = [(x, y, cut, y + h), (cut, y, x + w, y + h)]
        for x1, y1, x2, y2 in parts:
            cv2.rectangle(mask, (x1, y1), (x2 - 1, y2 - 1), seg_id, -1)
            cv2.rectangle(mask, (x1, y1), (x1 + 5, y1 + 5), 0, -1)
            boxes.append((x1, y1, x2, y2))
            labels.append(seg_id - 1)
        if kind == 'halves':
            middle = x + w // 2
            mask[y:y + h, middle - 3:middle + 3] = 0
    num_wrong = NUM_PREDS - len(boxes)
    corner = rng.uniform(0, SIDE - 60, (num_wrong, 2))
    wrong = np.hstack([corner, corner + rng.uniform(15, 60, corner.shape)])
    boxes = np.vstack([boxes + rng.normal(0, 2, (len(boxes), 4)), wrong])
    labels = np.r_[labels, rng.integers(0, NUM_CLASSES, num_wrong)]
    return dict(
        mask=mask,
        boxes=boxes.astype(np.float32),
        scores=rng.uniform(.31, 1, NUM_PREDS).astype(np.float32),
        labels=labels)


def to_batch(images, drawn, compatible: np.ndarray,
             device: str) -> Dict[str, torch.Tensor]:
    """Arguments of ``refine_boxes``."""

    def tensor(values) -> torch.Tensor:
        return torch.as_tensor(np.stack(values), device=device)

    tables = [table for _, table in images]
    batch = dict(
        component_map=tensor([m for m, _ in images]),
        compatible=torch.as_tensor(compatible, device=device))
    for key in ('boxes', 'labels', 'areas', 'ignored'):
        batch[f'comp_{key}'] = tensor([table[key] for table in tables])
    for key in ('boxes', 'scores', 'labels'):
        batch[f'pred_{key}'] = tensor([image[key] for image in drawn])
    batch['comp_valid'] = torch.ones_like(batch['comp_ignored'])
    batch['pred_valid'] = torch.ones_like(
        batch['pred_labels'], dtype=torch.bool)
    return batch


def as_lists(refined, image: int):
    """Targets and regions of an image, as the loop gives them."""
    valid, ignored = refined.valid[image], refined.ignored[image]
    boxes = refined.boxes[image]
    targets = [(label, quality, *box) for label, quality, box in zip(
        refined.labels[image][valid].tolist(),
        refined.quality[image][valid].tolist(), boxes[valid].tolist())]
    regions = [(tuple(np.flatnonzero(classes)), *box) for classes, box in zip(
        refined.ignored_classes[image][ignored].cpu().numpy(),
        boxes[ignored].tolist())]
    return sorted(targets), sorted(regions)
