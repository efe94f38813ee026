# Copyright (c) mmbombo contributors.
"""Sizes of the images, and what of them the memory holds."""
import os
import sys
from statistics import median
from typing import Iterable, NamedTuple, Sequence, Tuple

import torch
from mmengine.utils import track_iter_progress
from PIL import Image

from mmbombo.datasets.errors import DatasetError
from .found import Found

#: What a pixel of a training crop takes: .9 GiB for 12 images of 224 x 224,
#: see docs/en/user_guides/datasets.md, and as much for losses and libraries.
BYTES_PER_PIXEL = 2 * .9 * 2**30 / (12 * 224**2)
#: Images that are opened to learn their size.
NUM_OPENED = 500


class Budget(NamedTuple):
    """What a training may use."""
    device: str
    memory: int  # free bytes of a GPU, all bytes of a computer
    side: int  # the largest side of a crop that is not slow on it
    batch: int  # the most images of a step


def read_sizes(source: Found) -> None:
    """Width and height of some images, spread over all."""
    paths = list(source.images.values())
    paths = paths[::-(-len(paths) // NUM_OPENED)]
    for path in track_iter_progress(paths, file=sys.stderr):
        try:
            with Image.open(path) as image:
                source.sizes.append(image.size)
        except OSError as error:
            raise DatasetError(f'{source.place}: {path} is missing or not an '
                               f'image ({error})') from error


def ask_budget() -> Budget:
    """The free memory of the GPU, or else the main memory."""
    if torch.cuda.is_available():
        return Budget('GPU', torch.cuda.mem_get_info()[0], 640, 16)
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    return Budget('CPU', memory, 320, 8)


def choose_sizes(sizes: Iterable[Tuple[int, int]], budget: Budget,
                 num_sources: int) -> Tuple[int, int]:
    """Side of a crop, and images in a step.

    The side is the short side of the median image, at most the budget's. The
    batch is what half of the memory holds, as many of each source.
    """
    short = median(min(size) for size in sizes)
    side = int(min(max(short // 32 * 32, 64), budget.side))
    fit = int(budget.memory / 2 / (side**2 * BYTES_PER_PIXEL))
    batch = min(fit, budget.batch) // num_sources * num_sources
    return side, max(batch, num_sources)


def count_iterations(num_images: Sequence[int], batch: int) -> int:
    """24 rounds of the longest source; 300 to 40,000 iterations."""
    rounds = 24 * max(num_images) * len(num_images) / batch
    return int(min(max(round(rounds, -2), 300), 40000))
