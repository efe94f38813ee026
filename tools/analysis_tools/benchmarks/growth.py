# Copyright (c) mmbombo contributors.
"""How the cost of weak labels grows, and what the worst images cost.

The ratio is the exponent of the time from one size to another: 1 is linear, 2
is quadratic. The worst cases, in seconds, are bounded by the limits that the
users' guide to data sets states. On a CPU.
"""
import math
from argparse import Namespace
from functools import partial
from typing import Callable, Iterator, Tuple

import numpy as np
import torch

from mmbombo.models.weak_losses import MaskForBoxLoss
from mmbombo.weak_labels import boxes_to_mask, label_components, refine_boxes
from .rows import make_row, milliseconds

#: Largest image of MMDetection's stock configs.
LARGE = (800, 1333)


def growth(options: Namespace) -> Iterator[dict]:
    """Exponents, then worst cases."""
    # sizes are far apart, so that few measurements are enough
    repeats, side = min(options.repeats, 3), 2 * options.size
    label = partial(labeling, side**2)
    cut = partial(cutting, (side, side), .08)
    curves = dict(
        label_components_pixels=(labeling, side**2 // 4, 4 * side**2),
        label_components_components=(label, 100, 1000),
        boxes_to_mask_boxes=(cut, 30, 300),
        refine_boxes_components=(refinement, 100, 1000),
        refine_boxes_boxes=(partial(refinement, 100), 30, 300))
    for name, (prepare, *sizes) in curves.items():
        tasks = [prepare(size) for size in sizes]
        spent = [[milliseconds(task) for task in tasks]
                 for _ in range(1 + repeats)][1:]
        small, large = np.transpose(spent)
        exponents = np.log(large / small) / math.log(sizes[1] / sizes[0])
        # a tenth is for caches and the like
        yield make_row(f'growth_{name}', 'exponent of the time', 1.1,
                       exponents, zip(map(str, sizes), (small, large)))
    noise = np.random.default_rng(0).integers(1, 81, LARGE, dtype=np.uint8)
    label = partial(label_components, noise, 80, range(1, 81))
    boxes = cutting(LARGE, .5, 300)
    worst = {
        'noise_of_80_classes': (label, 2.),
        '300_large_boxes': (boxes, 60.)
    }
    for name, (task, limit) in worst.items():
        seconds = [milliseconds(task) / 1e3 for _ in range(repeats)]
        yield make_row(f'worst_{name}', f'seconds for an image of {LARGE}',
                       limit, seconds)


def dots(side: int, count: int) -> np.ndarray:
    """A mask (side, side) of squares of 20 classes that do not touch."""
    columns = math.ceil(count**.5)
    step = side // columns
    mask = np.zeros((side, side), np.uint8)
    for i in range(count):
        y, x = (place * step for place in divmod(i, columns))
        mask[y:y + step - 1, x:x + step - 1] = 1 + i % 20
    return mask


def labeling(pixels: int, count: int = 100) -> Callable:
    """Components of a mask."""
    mask = dots(math.isqrt(pixels), count)
    return partial(label_components, mask, 80, range(1, 21))


def cutting(shape: Tuple[int, int], share: float, count: int) -> Callable:
    """GrabCut of boxes in noise, in which cuts are longest.

    All 300 objects are in the image: where they overlap it is dark and cuts
    are harder, and only the number of boxes is to grow.
    """
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (*shape, 3), dtype=np.uint8)
    size = np.array(shape[::-1])
    corner = rng.uniform(0, (1 - share) * size, (300, 2))
    boxes = np.hstack([corner, corner + share * size]).astype(np.float32)
    for x1, y1, x2, y2 in boxes.astype(int):
        image[y1 + 2:y2 - 2, x1 + 2:x2 - 2] //= 2
    labels = np.arange(count) % 20
    ids = np.arange(21)
    return partial(boxes_to_mask, image, boxes[:count], labels, labels < 0,
                   ids[:, None] == np.arange(1, 21), ids == 0)


def refinement(num_comps: int, count: int = 30) -> Callable:
    """Split and merge of two images; every component is of 4 predictions."""
    rng = np.random.default_rng(0)
    component_map, table = label_components(
        dots(320, num_comps), 4, range(1, 21), max_components=num_comps)
    at = rng.integers(0, len(table['labels']), count)
    x1, y1, x2, y2 = table['boxes'][at].T
    cut = x1 + (x2 - x1) * np.where(np.arange(count) % 2, .5, .4)
    left = np.arange(count) % 4 < 2
    boxes = np.where(left, (x1, y1, cut, y2), (cut, y1, x2, y2)).T
    table = {f'comp_{key}': value for key, value in table.items()}
    given = dict(
        table,
        component_map=component_map,
        comp_valid=np.ones(num_comps, bool),
        pred_boxes=boxes.astype(np.float32),
        pred_scores=rng.uniform(.31, 1, count).astype(np.float32),
        pred_labels=table['comp_labels'][at] - 1,
        pred_valid=np.ones(count, bool))
    batch = {
        key: torch.from_numpy(np.stack([value, value]))
        for key, value in given.items()
    }
    compatible = torch.eye(21, dtype=torch.bool)[:, 1:]
    options = MaskForBoxLoss(min_area=4).refine_cfg
    return partial(refine_boxes, compatible=compatible, **batch, **options)
