# Copyright (c) mmbombo contributors.
"""Make the pseudo masks of a config ahead of training, on all cores.

    python tools/dataset_converters/pseudo_masks.py CONFIG

fills the ``cache_dir`` of every ``LoadPseudoMask`` in the training pipelines.
Masks that are there already are skipped, so an interrupted run continues.
Training makes the missing ones itself; this tool keeps the first epoch fast.
"""
import argparse
import multiprocessing
import os
import sys
from typing import Callable, List, Tuple

import cv2
from mmengine.config import DictAction
from mmengine.utils import track_iter_progress


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument(
        '--jobs',
        type=int,
        default=os.cpu_count(),
        help='processes (default: all cores)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, key=value')
    return parser.parse_args()


if __name__ == '__main__':  # --help waits for no library
    parse_args()

from mmengine.registry import DefaultScope

from mmbombo.datasets.transforms import LoadPseudoMask
from mmbombo.registry import DATASETS
from mmbombo.structures import BBOX, SEM_SEG
from mmbombo.utils import user_errors
from mmbombo.utils.config_names import load_config

#: What the worker processes work on; set before they are forked.
JOBS: List[Tuple[Callable, int, List[Callable]]] = []


def list_jobs(dataset) -> List[Tuple[Callable, int, List[Callable]]]:
    """One job per image that has boxes but no mask: its source, its index,
    and the transforms up to the pseudo mask."""
    jobs = []
    for source in getattr(dataset, 'datasets', [dataset]):
        kinds = source.annotation_kinds
        transforms = source.pipeline.transforms
        ends = [
            i for i, transform in enumerate(transforms, start=1)
            if isinstance(transform, LoadPseudoMask) and transform.cache
        ]
        if ends and BBOX in kinds and SEM_SEG not in kinds:
            jobs += [(source, index, transforms[:ends[0]])
                     for index in range(len(source))]
    return jobs


def make_one(number: int) -> None:
    """Run the transforms of one job; the last one fills the cache."""
    source, index, transforms = JOBS[number]
    results = source.get_data_info(index)
    for transform in transforms:
        results = transform(results)


@user_errors()
def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    DefaultScope.get_instance(
        'pseudo-masks', scope_name=cfg.get('default_scope', 'mmbombo'))
    JOBS.extend(list_jobs(DATASETS.build(cfg.train_dataloader.dataset)))
    if not JOBS:
        sys.exit(f'{args.config}: no training source has boxes, no mask, and '
                 'LoadPseudoMask with a cache_dir in its pipeline')
    # forked processes cannot use OpenCV's threads of their parent
    cv2.setNumThreads(1)
    with multiprocessing.get_context('fork').Pool(args.jobs) as pool:
        masks = pool.imap_unordered(make_one, range(len(JOBS)), chunksize=4)
        list(track_iter_progress((masks, len(JOBS))))
    roots = sorted({str(job[2][-1].cache.root) for job in JOBS})
    print(f'{len(JOBS)} pseudo masks in {", ".join(roots)}')


if __name__ == '__main__':
    main()
