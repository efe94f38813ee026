# Copyright (c) mmbombo contributors.
"""How the cost of weak labels grows, and what the worst cases cost.

Each function at several sizes in turn; the ratio is the exponent of the cost
between a middle size and the largest: 1 is linear, 2 is quadratic. The worst
cases are bounded by the limits that the users' guide to data sets states.
``--plot FILE`` draws the curves.
"""
import math
from argparse import Namespace
from typing import Callable, Dict, List, NamedTuple, Sequence

import cv2
import numpy as np
import torch

from mmbombo.datasets import PartialAnnotationSampler
from mmbombo.weak_labels import (boxes_to_mask, covered_cells,
                                 filter_predictions, label_components,
                                 refine_boxes)
from .batches import MIN_AREA
from .rows import Row, ratio_of, timed
from .split_merge import OPTIONS, to_batch

#: A tenth is for caches and the like.
LARGEST_EXPONENT = 1.1
#: Sizes are far apart, so that few measurements are enough.
MAX_REPEATS = 3
BOXES = (1, 10, 30, 100, 300)
COMPONENTS = (1, 10, 100, 300, 1000)
CLASSES = (20, 80, 300, 1000)
#: Segmentation ids are one byte.
SEG_CLASSES = (20, 80, 250)
SOURCES = (1, 2, 4, 8, 16)
#: Largest image of MMDetection's stock configs.
LARGE = (800, 1333)


class Curve(NamedTuple):
    """A function that is called with growing tasks."""

    name: str
    #: What grows.
    unit: str
    sizes: Sequence[int]
    #: Prepares the task of a size, which is then timed.
    prepare: Callable[[int], Callable]


def run(options: Namespace) -> List[Row]:
    """Curves, then worst cases; on a CPU."""
    repeats = min(options.repeats, MAX_REPEATS)
    rows = [grow(curve, repeats) for curve in curves(min(options.size))]
    if options.plot:
        plot(rows, options)
    return rows + worst_cases(repeats)


def grow(curve: Curve, repeats: int) -> Row:
    """Row of one curve."""
    tasks = [curve.prepare(size) for size in curve.sizes]
    for task in tasks:
        task()
    spent = np.array([[timed(task)[0] for task in tasks]
                      for _ in range(repeats)])
    middle = len(tasks) // 2 - 1 + len(tasks) % 2
    steps = math.log(curve.sizes[-1] / curve.sizes[middle])
    exponents = np.log(spent[:, -1] / spent[:, middle]) / steps
    ratio, spread = ratio_of(np.maximum(exponents, 1e-3), np.ones(repeats))
    return Row(
        f'growth_{curve.name}_{curve.unit}',
        ratio,
        LARGEST_EXPONENT,
        'at most',
        spread,
        f'exponent of the time of {curve.name}, by {curve.unit}',
        times={
            str(size): spent[:, i].tolist()
            for i, size in enumerate(curve.sizes)
        })


def curves(side: int) -> List[Curve]:
    """What is measured; images have sides of ``2 * side`` if not growing."""
    sides = tuple(side * factor // 2 for factor in (1, 2, 4, 8))
    pixels = tuple(side**2 for side in sides)

    def by_pixels(function: Callable) -> Callable:
        return lambda count: function(math.isqrt(count))

    def label(side=2 * side, components=100, classes=20):
        mask = dots(side, components, classes)
        ids = range(1, classes + 1)
        return lambda: label_components(mask, MIN_AREA, ids)

    def paint(side=2 * side, boxes=8, drawn=8, share=.25):
        return painting((side, side), boxes, drawn, share, smooth=3.)

    def refine(side=side, components=100, boxes=30, classes=20):
        return refinement(side, components, boxes, classes)

    return [
        Curve('label_components', 'pixels', pixels, by_pixels(label)),
        Curve('label_components', 'components', COMPONENTS,
              lambda count: label(components=count)),
        Curve('label_components', 'classes', SEG_CLASSES,
              lambda count: label(components=250, classes=count)),
        Curve('boxes_to_mask', 'pixels', pixels, by_pixels(paint)),
        Curve('boxes_to_mask', 'boxes', BOXES,
              lambda count: paint(boxes=count, drawn=max(BOXES), share=.08)),
        Curve('refine_boxes', 'pixels', pixels, by_pixels(refine)),
        Curve('refine_boxes', 'components', COMPONENTS,
              lambda count: refine(components=count)),
        Curve('refine_boxes', 'boxes', BOXES,
              lambda count: refine(boxes=count)),
        Curve('refine_boxes', 'classes', CLASSES,
              lambda count: refine(classes=count)),
        Curve('filter_predictions', 'boxes', BOXES,
              lambda count: filtering(side, count)),
        Curve('covered_cells', 'boxes', BOXES,
              lambda count: covering(count, 80)),
        Curve('covered_cells', 'classes', CLASSES,
              lambda count: covering(30, count)),
        Curve('sampler', 'sources', SOURCES, sampling),
    ]


def dots(side: int, components: int, classes: int) -> np.ndarray:
    """A mask (side, side) of squares that do not touch."""
    columns = math.ceil(components**.5)
    step = side // columns
    mask = np.zeros((side, side), np.uint8)
    for i in range(components):
        y, x = (place * step for place in divmod(i, columns))
        mask[y:y + step - 1, x:x + step - 1] = 1 + i % classes
    return mask


def random_boxes(rng: np.random.Generator, shape, count: int,
                 share: float) -> np.ndarray:
    """(count, 4) boxes of a share of either side."""
    size = np.array(shape[::-1]) * share
    corner = rng.uniform(0, np.array(shape[::-1]) - size, (count, 2))
    return np.hstack([corner, corner + size]).astype(np.float32)


def painting(shape, count: int, drawn: int, share: float,
             smooth: float) -> Callable:
    """GrabCut of boxes in noise, in which cuts are longest.

    All ``drawn`` objects are in the image: where they overlap it is dark and
    cuts are harder, and only the number of boxes is to grow.
    """
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (*shape, 3), dtype=np.uint8)
    if smooth:
        image = cv2.GaussianBlur(image, None, smooth)
    boxes = random_boxes(rng, shape, drawn, share)
    for x1, y1, x2, y2 in boxes.astype(int):
        image[y1 + 2:y2 - 2, x1 + 2:x2 - 2] //= 2
    boxes = boxes[:count]
    labels = np.arange(count) % 20
    return lambda: boxes_to_mask(image, boxes, labels, labels < 0,
                                 np.arange(1, 21), 0)


def refinement(side: int, components: int, count: int,
               classes: int) -> Callable:
    """Split and merge of two images; every component is of 4 predictions."""
    rng = np.random.default_rng(0)
    seg_classes = min(classes, 250)
    mask = dots(side, components, seg_classes)
    labeled = label_components(
        mask, 4, range(1, seg_classes + 1), max_components=components)
    table = labeled[1]
    at = rng.integers(0, len(table['labels']), count)
    x1, y1, x2, y2 = table['boxes'][at].T
    cut = x1 + (x2 - x1) * np.where(np.arange(count) % 2, .5, .4)
    left = np.arange(count) % 4 < 2
    drawn = dict(
        boxes=np.stack([np.where(left, x1, cut), y1,
                        np.where(left, cut, x2), y2], 1).astype(np.float32),
        scores=rng.uniform(.31, 1, count).astype(np.float32),
        labels=table['labels'][at] - 1)
    compatible = np.arange(classes) % seg_classes + 1 == np.arange(
        seg_classes + 1)[:, None]
    batch = to_batch([labeled] * 2, [drawn] * 2, compatible, 'cpu')
    return lambda: refine_boxes(**batch, **dict(OPTIONS, min_area=4))


def filtering(side: int, count: int) -> Callable:
    """Predictions of an image, filtered by boxes."""
    rng = np.random.default_rng(0)
    predicted = torch.from_numpy(rng.integers(0, 21, (1, side, side)))
    boxes = torch.from_numpy(random_boxes(rng, (side, side), count, .1))[None]
    agrees = torch.eye(21, dtype=torch.bool)[torch.arange(count) % 20][None]
    return lambda: filter_predictions(predicted, predicted, boxes, agrees)


def covering(count: int, classes: int) -> Callable:
    """Cells of a feature map that boxes of each class cover."""
    rng = np.random.default_rng(0)
    boxes = torch.from_numpy(random_boxes(rng, (80, 80), count, .1))[None]
    one_hot = torch.arange(count) % classes
    one_hot = torch.nn.functional.one_hot(one_hot, classes).bool()[None]
    centers = torch.arange(80) + .5
    return lambda: covered_cells(boxes, one_hot, centers, centers)


def sampling(count: int) -> Callable:
    """Draw 64 batches, one image of each source in every batch."""

    class Sources(list):
        source_sizes = [1000] * count

    sampler = PartialAnnotationSampler(
        Sources([None] * 1000 * count), batch_size=count, seed=0)

    def draw() -> None:
        draws = iter(sampler)
        for _ in range(64 * count):
            next(draws)

    return draw


def worst_cases(repeats: int) -> List[Row]:
    """Rows of masks and boxes that nobody draws, against stated limits."""
    height, width = LARGE
    rng = np.random.default_rng(0)
    ys, xs = np.indices(LARGE)
    masks: Dict[str, np.ndarray] = dict(
        checkerboard=(ys + xs) % 2,
        isolated_pixels=(ys % 2 == 0) & (xs % 2 == 0),
        noise_of_2_classes=rng.integers(0, 2, LARGE),
        noise_of_80_classes=rng.integers(1, 81, LARGE))
    cases = {
        name: (lambda mask: lambda: label_components(
            mask, MIN_AREA, range(1, 255)))(mask.astype(np.uint8))
        for name, mask in masks.items()
    }
    rows = [
        bounded(f'worst_{name}', task, 2., repeats)
        for name, task in cases.items()
    ]
    boxes = painting(LARGE, 300, 300, .5, smooth=0.)
    return rows + [bounded('worst_300_large_boxes', boxes, 60., 1)]


def bounded(name: str, task: Callable, limit: float, repeats: int) -> Row:
    """Row of one worst case."""
    spent = [timed(task)[0] for _ in range(repeats)]
    ratio, spread = ratio_of(np.array(spent) / 1e3, np.ones(len(spent)))
    return Row(
        name,
        ratio,
        limit,
        'at most',
        spread,
        'seconds for one image',
        figures={'height, width': LARGE},
        times={'image': spent})


def plot(rows: List[Row], options: Namespace) -> None:
    """Draw all curves, one panel for each unit."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(12, 4), layout='constrained')
    units = sorted({row.name.rsplit('_', 1)[1] for row in rows})
    for axes, unit in zip(figure.subplots(1, len(units)), units):
        for row in rows:
            name, row_unit = row.name.rsplit('_', 1)
            if row_unit == unit:
                axes.loglog([int(size) for size in row.times],
                            [np.median(ms) for ms in row.times.values()],
                            marker='o',
                            label=name[len('growth_'):])
        axes.set_xlabel(unit)
        axes.legend(fontsize='x-small')
    figure.axes[0].set_ylabel('ms')
    options.plot.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.plot, dpi=120)
