# Copyright (c) mmbombo contributors.
"""Measure what an operation costs, side by side with what it competes with.

    python tools/analysis_tools/benchmark.py WHAT [WHAT ...] [--json FILE]

``all`` runs everything. Either side runs in turn (A B A B), so that a busy
machine slows both; a row is the median of the ratios of neighbors, and their
quartiles as spread. Where a library's network is compared with ours it is in a
process that does not import mmbombo.
"""
import argparse
import json
import os
from pathlib import Path
from typing import List

import cv2
import torch
from benchmarks import load, names, summary
from benchmarks.report import continue_file
from benchmarks.rows import Row
from benchmarks.stock import NETWORKS, pixels
from provenance import command, commit, machine

from mmbombo.utils import keep_freed_memory

ROOT = Path(__file__).resolve().parents[2]


def parse_args() -> argparse.Namespace:
    listing = '\n'.join(f'  {name:<16}{summary(name)}' for name in names())
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f'what can be measured:\n{listing}',
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'what', nargs='+', choices=['all', *names()], metavar='WHAT')
    parser.add_argument(
        '--json',
        type=Path,
        help='put the rows into a file, which keeps those of other runs, and '
        'write it as Markdown beside it')
    parser.add_argument(
        '--plot', type=Path, help='draw the curves of growth to a file')
    parser.add_argument(
        '--data',
        type=Path,
        default=ROOT / 'data' / 'photo_stamps',
        help='PhotoStamps, for what is measured on files')
    parser.add_argument(
        '--images', type=int, default=40, help='images; default: 40')
    parser.add_argument(
        '--model',
        choices=NETWORKS,
        default='mobilenetv2',
        help='network, for what is measured on one; default: mobilenetv2')
    parser.add_argument(
        '--batch',
        type=int,
        default=4,
        help='images of each annotation kind in a step; default: 4')
    parser.add_argument(
        '--size',
        nargs='+',
        type=int,
        default=[320],
        metavar='PIXELS',
        help='side of the images in a step, or height and width; default: '
        '320')
    parser.add_argument(
        '--repeats', type=int, default=20, help='A B pairs; default: 20')
    parser.add_argument(
        '--threads', type=int, default=1, help='CPU threads; default: 1')
    parser.add_argument(
        '--device', default='cpu', help="'cpu' or 'cuda'; default: cpu")
    args = parser.parse_args()
    for option in ('images', 'batch', 'repeats', 'threads'):
        if getattr(args, option) < 1:
            parser.error(f'--{option} must be 1 or more')
    if len(args.size) > 2:
        parser.error('--size is a side, or height and width')
    if any(side < 64 or side % 64 for side in args.size):
        parser.error('--size must be a multiple of 64, which both libraries '
                     'and we pad to')
    args.size = (args.size[0], args.size[-1])
    return args


def describe(args: argparse.Namespace) -> dict:
    """What the figures depend on beside the code measured."""
    return dict(
        command=command(),
        commit=commit(),
        size=pixels(args.size),
        batch=args.batch,
        load=os.getloadavg()[0],
        threads=dict(torch=torch.get_num_threads(), cv2=cv2.getNumThreads()),
        **machine(args.device))


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    if args.device == 'cpu':
        # as tools/train.py does, and the process of the libraries too: less
        # noise than with pages that the system clears
        keep_freed_memory()
    meta = describe(args)
    print(json.dumps(meta), flush=True)
    for name in names() if 'all' in args.what else args.what:
        rows: List[Row] = []
        for row in load(name).run(args):
            print(row.line(), flush=True)
            rows.append(row)
        if args.json:
            continue_file(args.json, meta, [row.as_json() for row in rows])


if __name__ == '__main__':
    main()
