# Copyright (c) mmbombo contributors.
"""Pseudo masks of a data set made by two processes against one.

As ``tools/dataset_converters/pseudo_masks.py`` makes them: each process cuts
an image and writes its mask to the cache, which is empty each time.
"""
import multiprocessing
import os
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, List, Tuple

import cv2

from mmbombo.datasets.transforms import LoadPseudoMask
from .photo_stamps import as_recipe, read_samples
from .rows import Row, in_turn, ratio_of
from .voc_sources import class_names

PROCESSES = 2
#: Of 2, what "near-linear" is taken to mean.
GOAL = 1.8
#: What the processes work on; set before they are forked.
RECIPES: List[dict] = []
CLASS_MAP: dict = {}


def run(options: Namespace) -> List[Row]:
    """Keep the processes of either side waiting while the other works."""
    cores = len(os.sched_getaffinity(0))
    if cores < PROCESSES:
        print(f'processes: needs {PROCESSES} cores, left out', flush=True)
        return []
    classes = class_names(options.data)
    CLASS_MAP.update(
        det_classes=classes, seg_classes=('background', *classes))
    RECIPES[:] = map(as_recipe, read_samples(options.data, options.images))
    cv2.setNumThreads(1)
    fork = multiprocessing.get_context('fork')
    with fork.Pool(1) as one, fork.Pool(PROCESSES) as two:
        one_ms, two_ms = in_turn(maker(one), maker(two), options.repeats)
    ratio, spread = ratio_of(one_ms, two_ms)
    return [
        Row('processes',
            ratio,
            GOAL,
            'at least',
            spread,
            'pseudo masks per second of two processes / of one',
            figures={
                'images': len(RECIPES),
                'cores': cores
            },
            times=dict(one=one_ms, two=two_ms))
    ]


def maker(pool) -> Callable:
    """Makes all pseudo masks in a fresh cache."""

    def make() -> None:
        with TemporaryDirectory() as folder:
            jobs = [(folder, number) for number in range(len(RECIPES))]
            for _ in pool.imap_unordered(make_one, jobs, chunksize=2):
                pass
            made = sum(1 for _ in Path(folder).rglob('*.png'))
            assert made == len(RECIPES), 'two images are the same'

    return make


def make_one(job: Tuple[str, int]) -> None:
    """Make one, in a process."""
    folder, number = job
    LoadPseudoMask(
        CLASS_MAP, cache_dir=folder).pseudo_mask(RECIPES[number])
