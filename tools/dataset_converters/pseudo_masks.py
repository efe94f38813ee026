# Copyright (c) mmbombo contributors.
"""Make the pseudo masks of a config ahead of training, on all cores.

    python tools/dataset_converters/pseudo_masks.py CONFIG

fills the ``cache_dir`` of every ``LoadPseudoMask`` in the training pipelines.
Masks that are there already are skipped, so an interrupted run continues.
Training makes the missing ones itself; this tool keeps the first epoch fast.
"""
import argparse
import multiprocessing
import sys
from typing import Callable, List, Tuple

import cv2
from jobs_option import add_jobs_option
from mmengine.config import Config, DictAction
from mmengine.registry import DefaultScope
from mmengine.utils import ProgressBar

from mmbombo.datasets.transforms import LoadPseudoMask
from mmbombo.registry import DATASETS
from mmbombo.structures import BBOX, SEM_SEG
from mmbombo.utils import user_errors

#: What a worker process works on; set before the workers are forked.
JOBS: List[Tuple[Callable, int, List[Callable]]] = []


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    add_jobs_option(parser)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, key=value')
    return parser.parse_args()


def list_jobs(dataset) -> List[Tuple[Callable, int, List[Callable]]]:
    """One job per image that has boxes but no mask.

    Args:
        dataset: A source, or several as :class:`MixedSourceDataset`.

    Returns:
        list[tuple]: The source, the index of the image, and the transforms up
        to the pseudo mask.
    """
    jobs = []
    for source in getattr(dataset, 'datasets', [dataset]):
        kinds = source.annotation_kinds
        transforms = source.pipeline.transforms
        ends = [
            i for i, transform in enumerate(transforms, start=1)
            if isinstance(transform, LoadPseudoMask) and transform.cache
        ]
        if not ends or BBOX not in kinds or SEM_SEG in kinds:
            continue
        jobs += [(source, index, transforms[:ends[0]])
                 for index in range(len(source))]
    return jobs


def make_one(number: int) -> None:
    """Run the transforms of one job; the last one fills the cache."""
    source, index, transforms = JOBS[number]
    results = source.get_data_info(index)
    for transform in transforms:
        results = transform(results)


def run(args: argparse.Namespace) -> None:
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    DefaultScope.get_instance(
        'pseudo-masks', scope_name=cfg.get('default_scope', 'mmbombo'))
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    JOBS.extend(list_jobs(dataset))
    if not JOBS:
        sys.exit(f'{args.config}: no training source has boxes, no mask, and '
                 'LoadPseudoMask with a cache_dir in its pipeline')

    cv2.setNumThreads(1)
    bar = ProgressBar(len(JOBS))
    with multiprocessing.get_context('fork').Pool(args.jobs) as pool:
        for _ in pool.imap_unordered(make_one, range(len(JOBS)), chunksize=4):
            bar.update()
    roots = sorted({str(job[2][-1].cache.root) for job in JOBS})
    print(f'\n{len(JOBS)} pseudo masks in {", ".join(roots)}')


@user_errors()
def main() -> None:
    run(parse_args())


if __name__ == '__main__':
    main()
