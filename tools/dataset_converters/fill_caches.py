# Copyright (c) mmbombo contributors.
"""Make the pseudo masks and regions of a config ahead, on all cores.

    python tools/dataset_converters/fill_caches.py CONFIG

fills the ``cache_dir`` of every ``LoadPseudoMask`` and ``LoadRegions`` in the
pipelines of training, validation and test, of our data sets and of those of
MMDetection and MMSegmentation.
What is there already is skipped, so an interrupted run continues.
Training makes what is missing itself; this tool keeps the first epoch fast.
"""
import argparse
import os
from typing import Callable, Dict, List, Tuple

import cv2
from mmengine.config import DictAction


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

from mmengine.registry import init_default_scope

from mmbombo.datasets.transforms import LoadPseudoMask, LoadRegions
from mmbombo.registry import DATASETS
from mmbombo.structures import BBOX, SEM_SEG
from mmbombo.utils import UserError, user_errors
from mmbombo.utils.config_names import load_config
from mmbombo.utils.processes import in_processes

#: Data set, index and transforms of an image, by its file and the options of
#: the last transform; the worker processes are forked when it is filled.
JOBS: Dict[tuple, Tuple[object, int, List[Callable]]] = {}


def fills(transform: Callable, dataset) -> bool:
    """Whether a transform fills a cache from the images of a data set."""
    if isinstance(transform, LoadPseudoMask):
        kinds = dataset.annotation_kinds
        if BBOX not in kinds or SEM_SEG in kinds:
            return False
    elif not isinstance(transform, LoadRegions):
        return False
    return transform.cache is not None


def add_jobs(dataset) -> None:
    """Add each image once for every transform that fills a cache from it."""
    for part in (*getattr(dataset, 'datasets', ()),
                 *filter(None, [getattr(dataset, 'dataset', None)])):
        add_jobs(part)
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    for end, transform in enumerate(transforms, 1):
        if fills(transform, dataset):
            # of data sets with the same images, one does
            options = str({**vars(transform), 'cache': transform.cache.root})
            for index in range(len(dataset)):
                path = dataset.get_data_info(index)['img_path']
                JOBS.setdefault((path, options),
                                (dataset, index, transforms[:end]))


def make_one(key: tuple) -> None:
    """Run the transforms of one job; the last one fills the cache."""
    dataset, index, transforms = JOBS[key]
    results = dataset.get_data_info(index)
    for transform in transforms:
        results = transform(results)
    if transforms[-1].cache.memory:
        raise UserError(f'{transforms[-1].cache.root} cannot be written')


@user_errors()
def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmbombo'))
    for phase in ('train', 'val', 'test'):
        loader = cfg.get(f'{phase}_dataloader')
        if loader:
            add_jobs(DATASETS.build(loader.dataset))
    if not JOBS:
        raise UserError(f'{args.config}: no pipeline has LoadPseudoMask, of '
                        'images with boxes and without masks, or LoadRegions '
                        'with a cache_dir')
    # forked processes cannot use OpenCV's threads of their parent
    cv2.setNumThreads(1)
    list(in_processes(make_one, JOBS, args.jobs, chunk=4))
    roots = sorted({str(job[2][-1].cache.root) for job in JOBS.values()})
    print(f'{len(JOBS)} files in {", ".join(roots)}')


if __name__ == '__main__':
    main()
