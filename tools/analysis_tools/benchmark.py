# Copyright (c) mmbombo contributors.
"""Measure what users feel, side by side with what it competes with.

    python tools/analysis_tools/benchmark.py joint_step --repeats 40

Either side runs in turn (A B A B), so that a busy machine slows both. ``--json
docs/en/notes/performance.json`` replaces the rows of the same name, and writes
the table beside it.
"""
import argparse
import os
from datetime import date
from pathlib import Path

from benchmarks import BENCHMARKS, load

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = dict(
    data=(ROOT / 'data' / 'photo_stamps', 'PhotoStamps, for rows on files'),
    images=(40, 'images, of a validation or of files'),
    batch=(4, 'images of each annotation kind in a step'),
    size=(320, 'side of the images in a step, a multiple of 64'),
    repeats=(20, 'A B pairs; a few are enough for start_up and growth'),
    threads=(1, 'CPU threads'),
    device=('cpu', "'cpu' or 'cuda'"))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    what = ['all', *BENCHMARKS]
    parser.add_argument(
        'what', nargs='+', choices=what, metavar='WHAT', help=', '.join(what))
    parser.add_argument(
        '--json', type=Path, help='file of the rows; Markdown is beside it')
    parser.add_argument(
        '--model',
        default='mobilenetv2_fpn-gfl',
        help='file of configs/_base_/models (default: %(default)s)')
    for name, (default, text) in OPTIONS.items():
        text = f'{text} (default: %(default)s)'
        parser.add_argument(
            f'--{name}', type=type(default), default=default, help=text)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # As tools/train.py does, and for the processes of start_up too. They
    # import this file, which must not import mmbombo above.
    os.environ.update(MALLOC_MMAP_MAX_='0', MALLOC_TRIM_THRESHOLD_='-1')
    import cv2
    import torch
    from benchmarks.rows import cells, continue_file
    from provenance import command, commit, machine

    from mmbombo.utils import keep_freed_memory
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    run = dict(
        command=command(),
        commit=commit(),
        date=str(date.today()),
        threads=args.threads,
        load=round(os.getloadavg()[0], 1),
        **machine(args.device))
    for name in BENCHMARKS if 'all' in args.what else args.what:
        for row in load(name)(args):
            if args.device != 'cpu':
                row['name'] += '_cuda'
            print(*cells(row), sep=' | ', flush=True)
            if args.json:
                continue_file(args.json, dict(row, run=run))


if __name__ == '__main__':
    main()
