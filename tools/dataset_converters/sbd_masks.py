# Copyright (c) mmbombo contributors.
r"""Merge the masks of SBD and of Pascal VOC 2012 into one folder.

    python tools/dataset_converters/sbd_masks.py benchmark_RELEASE/dataset \
        data/VOCdevkit/VOC2012

The Semantic Boundaries Dataset (SBD, Hariharan et al., ICCV 2011) has masks of
11,355 images of VOC, most of which have none in VOC itself. They are read from
``cls/*.mat`` and written as palette PNG files to
``VOC2012/SegmentationClassAug``; where VOC has a mask (``SegmentationClass``),
that one is copied instead, because it is the more precise one. What is there
already is not made again, so that an interrupted run continues. Damaged files
are named at the end and leave no mask behind.

``ImageSets/mmbombo/trainaug.txt`` lists those that are not in VOC's validation
list ``Segmentation/val.txt``, 10,582 of both data sets.
"""
import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import Optional, Sequence

import numpy as np
from PIL import Image


def parse_args(args: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'sbd', type=Path, help='folder `dataset` of benchmark_RELEASE')
    parser.add_argument('voc', type=Path, help='folder of VOC2012')
    parser.add_argument(
        '--jobs',
        type=int,
        default=os.cpu_count(),
        help='processes (default: all cores)')
    return parser.parse_args(args)


if __name__ == '__main__':  # --help waits for no library
    parse_args(None)

from scipy.io import loadmat

from mmbombo.datasets.id_list import read_ids
from mmbombo.datasets.voc_metainfo import voc_palette
from mmbombo.utils import user_errors
from mmbombo.utils.atomic_write import atomic_file, atomic_write
from mmbombo.utils.processes import in_processes

OUT = 'SegmentationClassAug'
TRAIN_LIST = 'ImageSets/mmbombo/trainaug.txt'
VAL_LIST = 'ImageSets/Segmentation/val.txt'
PALETTE = sum(map(list, voc_palette(256)), [])


def read_sbd_mask(path: Path) -> np.ndarray:
    """Read the class mask (H, W) of a file of SBD's ``cls`` folder.

    It is a MATLAB 5 file, which holds arrays and no code, with a structure
    ``GTcls`` whose field ``Segmentation`` has the class of each pixel, 0 for
    the background and 1 to 20 for VOC's classes.
    """
    content = loadmat(path, variable_names=['GTcls'])
    return content['GTcls']['Segmentation'].item().astype(np.uint8)


def make_mask(path: Path, out: Path) -> Optional[str]:
    """Make the mask of SBD's ``.mat`` file or VOC's PNG in a folder; returns
    what is wrong with the file, if anything is."""
    target = out / f'{path.stem}.png'
    try:
        if path.suffix == '.png':
            content = path.read_bytes()
            # over whatever is there
            if not target.is_file() or target.read_bytes() != content:
                Image.open(path).verify()
                atomic_write(target, content)
        elif not target.is_file():
            mask = Image.fromarray(read_sbd_mask(path))
            mask.putpalette(PALETTE)
            with atomic_file(target) as unfinished:
                mask.save(unfinished, format='PNG')
    except Exception as error:  # readers raise many types on a broken file
        return f'{path}: {type(error).__name__}: {error}'
    return None


@user_errors()
def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command; returns its exit status."""
    args = parse_args(args)
    official = sorted((args.voc / 'SegmentationClass').glob('*.png'))
    sbd = sorted((args.sbd / 'cls').glob('*.mat'))
    for found, folder in ((sbd, args.sbd / 'cls'),
                          (official, args.voc / 'SegmentationClass')):
        if not found:
            sys.exit(f'{folder} holds no masks: give the folder `dataset` of '
                     'SBD\'s benchmark_RELEASE (benchmark.tgz), and the '
                     'folder VOC2012 of VOCtrainval_11-May-2012.tar')
    known = {path.stem for path in official}
    val = {*read_ids(args.voc / VAL_LIST)}
    out = args.voc / OUT
    out.mkdir(exist_ok=True)
    files = [path for path in sbd if path.stem not in known] + official
    problems = in_processes(
        partial(make_mask, out=out), files, args.jobs, chunk=16)
    damaged = [problem for problem in problems if problem]
    masks = {path.stem for path in out.glob('*.png')}
    train = sorted(masks - val)
    atomic_write(args.voc / TRAIN_LIST,
                 ''.join(f'{x}\n' for x in train).encode())
    print(f'{out}: {len(masks)} masks, {len(train)} of them to train with')
    if damaged:
        print(
            f'{len(damaged)} damaged file(s), without a mask:\n  ' +
            '\n  '.join(damaged),
            file=sys.stderr)
    return 1 if damaged else 0


if __name__ == '__main__':
    sys.exit(main())
