# Copyright (c) mmbombo contributors.
"""Open every file of every source of a config, and list all that is wrong.

    python tools/misc/check_data.py CONFIG

Sources of training, validation and test are looked at, on all cores. The exit
code is 1 if there is any problem. An image of training that is validated or
tested on, under whatever name, is one, and so is a box that is listed twice. A
training itself checks only what is cheap before it starts, and the files of a
sample when it draws it.
"""
import argparse
import os
import sys
from typing import Dict, List, Tuple

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
from mmengine.utils import track_iter_progress

from mmbombo.datasets import errors
from mmbombo.datasets.checks.every_file import check_source
from mmbombo.registry import DATASETS
from mmbombo.utils import UserError, user_errors
from mmbombo.utils.config_names import load_config
from mmbombo.utils.config_parts import list_sources


def check(is_train: bool, config: dict, jobs: int,
          trained: Dict[str, str]) -> Tuple[str, int, List[str]]:
    """Name and number of images of a source, and what is wrong with it.

    ``trained`` are the images of training, by the digest of their files.
    """
    name = config.get('source') or config.get('ann_file') or config['type']
    problems = []
    try:
        source = DATASETS.build(config)
    except UserError as error:
        problems.append(str(error))
        try:  # without the first sample, which may be one of many
            source = DATASETS.build(dict(config, pipeline=[]))
        except UserError:
            return name, 0, problems
    if hasattr(source, 'annotation_kinds'):  # not of another library
        digests: Dict[str, str] = trained if is_train else {}
        problems += check_source(source, jobs, digests)
        problems += [
            f'{path}: the same file as {trained[digest]} of training'
            for digest, path in digests.items()
            if not is_train and digest and digest in trained
        ]
    return name, len(source), problems


@user_errors()
def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmbombo'))
    errors.MAX_LISTED = sys.maxsize
    trained: Dict[str, str] = {}
    checked = [
        check(*source, args.jobs, trained)
        for source in track_iter_progress(list_sources(cfg), file=sys.stderr)
    ]
    for name, _, problems in checked:
        if problems:
            print(
                f'\nsource {name!r}: {len(problems)} problem(s)',
                *problems,
                sep='\n  ')
    if any(problems for _, _, problems in checked):
        sys.exit(1)
    print(f'{sum(number for _, number, _ in checked)} images of '
          f'{len(checked)} sources: no problem')


if __name__ == '__main__':
    main()
