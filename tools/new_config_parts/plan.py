# Copyright (c) mmbombo contributors.
"""What a config is to say: sources, classes, and sizes that fit the memory."""
import os
import sys
from dataclasses import dataclass
from statistics import median
from typing import Dict, List, Sequence, Tuple

import torch
from mmengine.utils import track_iter_progress

from mmbombo.datasets.errors import DatasetError
from mmbombo.datasets.image_size import read_image_size
from .classes import Classes
from .found import Found
from .split import Split

#: What a pixel of a training crop takes: .9 GiB for 12 images of 224 x 224,
#: see docs/en/user_guides/datasets.md, and as much for losses and libraries.
BYTES_PER_PIXEL = 2 * .9 * 2**30 / (12 * 224**2)
#: Images that are opened to learn their size.
NUM_OPENED = 500


@dataclass
class Plan:
    """All that the config says."""
    name: str  # of the config, without .py
    path: str  # where it will be
    sources: Sequence[Found]
    splits: Dict[str, Split]  # their lists of images
    classes: Classes  # per task
    weights: str  # file of pretrained weights, '' without

    def __post_init__(self) -> None:
        """Decide the side of a crop, the images in a step, the iterations.

        The side is the short side of the median image, at most the device's.
        The batch is what half of the memory holds, as many of each source.
        """
        for source in self.sources:
            read_sizes(source)
        train = self.used('train')
        device, memory, most, batch = ask_budget()
        short = median(min(size) for x in train for size in x.sizes)
        self.side = int(min(max(short // 32 * 32, 64), most))
        self.reason = f'that of the median image, at most {most} on a {device}'
        fit = int(memory / 2 / (self.side**2 * BYTES_PER_PIXEL))
        each = max(min(fit, batch) // len(train), 1)
        self.batch = each * len(train)
        # 24 rounds of the longest source
        longest = max(len(self.splits[x.name].train) for x in train)
        iters = round(24 * longest / each, -2)
        self.iters = int(min(max(iters, 300), 40000))

    @property
    def tasks(self) -> List[str]:
        """Tasks that some source teaches."""
        return [x for x in ('det', 'seg', 'cls') if getattr(self.classes, x)]

    @property
    def maps(self) -> bool:
        """Whether there are classes of boxes and of masks."""
        return {'det', 'seg'} <= {*self.tasks}

    @property
    def weak(self) -> bool:
        """Whether boxes and masks can teach each other."""
        return any(map(self.classes.shown_by, self.classes.det))

    @property
    def tags_alone(self) -> bool:
        """Whether there is nothing but tags to learn masks from."""
        return {x.kind for x in self.used('train')} == {'image_label'}

    @property
    def empty(self) -> List[str]:
        """Classes without any object, and whose."""
        taught = self.classes.det + self.classes.seg
        return [
            f'{x} ({source.name})' for source in self.sources
            if not source.validation for x, n in source.classes.items()
            if not n and x in taught
        ]

    @property
    def unused(self) -> List[str]:
        """Categories of boxes that are no classes."""
        names = dict.fromkeys(x for source in self.sources
                              if source.kind == 'bbox' for x in source.classes)
        return [x for x in names if x not in self.classes.det]

    def used(self, part: str) -> List[Found]:
        """The sources that have images for 'train' or 'val'."""
        return [x for x in self.sources if getattr(self.splits[x.name], part)]


def read_sizes(source: Found) -> None:
    """Width and height of some images, spread over all."""
    paths = list(source.images.values())
    paths = paths[::-(-len(paths) // NUM_OPENED)]
    for path in track_iter_progress(paths, file=sys.stderr):
        try:
            height, width = read_image_size(path)
        except DatasetError as error:
            raise DatasetError(f'{source.place}: {error}') from error
        source.sizes.append((width, height))


def ask_budget() -> Tuple[str, int, int, int]:
    """A device, its free memory in bytes (of a computer all), the largest side
    of a crop that is not slow on it, and the most images of a step."""
    if torch.cuda.is_available():
        return 'GPU', torch.cuda.mem_get_info()[0], 640, 16
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    return 'CPU', memory, 320, 8
