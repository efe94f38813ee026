# Copyright (c) mmbombo contributors.
r"""Divide Pascal VOC 2007 + 2012 into images for boxes and images for masks.

    python tools/dataset_converters/voc_lists.py data/VOCdevkit

writes ``ImageSets/mmbombo`` of both years:

- ``det_train.txt`` and ``seg_train.txt``: no photograph in common;
- parts of them (``--subsets``), such as ``det2_train.txt``;
- ``det_train_masked.txt`` and ``det_train_unmasked.txt``: what det_train has
  with and without masks, for an oracle; parts of it have them too;
- ``val1449.txt``: VOC2012's segmentation validation list; ``val.txt``: the
  1,443 images of it that have boxes too;

and a record of seed, counts, hashes and classes, ``mmbombo_lists.json``. With
VOC and SBD complete, det_train has 7,558 images and seg_train 7,656, in the
structure of the authors' MXE lists; which of SBD's images go where is our
reconstruction. The masks are needed: run ``sbd_masks.py`` first.

    python tools/dataset_converters/voc_lists.py data/VOCdevkit \
        --check MXEdet/train MXEseg/train

checks lists that are there, named as in ``ImageSets``: photographs listed
twice, in two lists, in the validation list, or in VOC2007's test set, under
whichever name (``2007_000032`` of VOC2012 is ``000032`` of VOC2007).

    python tools/dataset_converters/voc_lists.py data/VOCdevkit \
        --by-mask MXEdet/train

writes the two lists for an oracle, ``MXEdet/train_masked.txt`` and
``MXEdet/train_unmasked.txt``, of a list that is there.
"""
import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Dict, Optional, Sequence


def parse_args(args: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'root', type=Path, help='folder that holds VOC2007 and VOC2012')
    parser.add_argument(
        '--seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument(
        '--det-share',
        type=float,
        default=49.68,
        help='%% of the training images that train detection (default: '
        '%(default)s, as in MXE)')
    parser.add_argument(
        '--subsets',
        nargs='*',
        default=['det2', 'seg2'],
        help='parts to write: det2 is half of the detection list, seg8 an '
        'eighth of the segmentation list, det10%% a tenth (default: det2 '
        'seg2)')
    parser.add_argument(
        '--masks',
        default='SegmentationClassAug',
        help='folder of VOC2012 with the masks to train with; '
        'SegmentationClass does without SBD (default: %(default)s)')
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        '--by-mask',
        nargs='+',
        metavar='LIST',
        help='divide these lists, such as MXEdet/train, into images with and '
        'without masks, and do nothing else')
    instead.add_argument(
        '--check',
        nargs='+',
        metavar='LIST',
        help='check these lists, such as MXEdet/train, and write nothing')
    return parser.parse_args(args)


if __name__ == '__main__':  # --help waits for no library
    parse_args(None)

from voc_lists_parts.balance import measure_balance
from voc_lists_parts.devkit import VOC2012, Devkit, YearLists
from voc_lists_parts.leaks import count_test_twins, find_leaks
from voc_lists_parts.split import divide, divide_by_mask, take_subset

from mmbombo.datasets.errors import list_problems
from mmbombo.utils import user_errors
from mmbombo.utils.atomic_write import atomic_write

FOLDER = 'mmbombo'


def file_content(ids: Sequence[str]) -> bytes:
    return ''.join(f'{image_id}\n' for image_id in ids).encode()


def write_lists(devkit: Devkit, lists: Dict[str, YearLists]) -> None:
    """Write one file per list, named as in ``ImageSets``, and year."""
    for name, years in lists.items():
        for year, ids in years.items():
            atomic_write(devkit.list_path(year, name), file_content(ids))


def describe(years: YearLists) -> dict:
    """Counts and hashes of a list, for the record."""
    return {
        'images': sum(map(len, years.values())),
        **{
            year: {
                'images': len(ids),
                'sha256': hashlib.sha256(file_content(ids)).hexdigest()
            }
            for year, ids in years.items()
        }
    }


def make(devkit: Devkit, seed: int, det_share: float,
         subsets: Sequence[str]) -> dict:
    """Make and write the lists and their record, which is returned; the
    arguments are those of :func:`divide` and :func:`take_subset`."""
    lists = divide(devkit, seed, det_share)
    lists.update([take_subset(name, lists, seed) for name in subsets])
    for name in [x for x in lists if x.startswith('det')]:
        lists.update(divide_by_mask(name, lists[name], devkit))
    balance = {
        name: measure_balance(devkit, years, name[:3])
        for name, years in lists.items() if name.endswith('_train')
    }
    write_lists(devkit, {f'{FOLDER}/{x}': y for x, y in lists.items()})
    record = dict(
        seed=seed,
        det_share=det_share,
        mask_folder=devkit.mask_folders[VOC2012],
        lists={
            name: describe(years)
            for name, years in lists.items()
        },
        class_balance=balance,
        val_images_in_voc2007_test=count_test_twins(lists['val'], devkit),
        made_from=devkit.hashes)
    atomic_write(devkit.root / f'{FOLDER}_lists.json',
                 (json.dumps(record, indent=2) + '\n').encode())
    return record


def print_record(record: dict) -> None:
    """How long the lists are; the classes in them are in the file."""
    for name, numbers in record['lists'].items():
        years = ', '.join(f'{year} {entry["images"]}'
                          for year, entry in numbers.items()
                          if isinstance(entry, dict))
        print(f'{FOLDER}/{name}: {numbers["images"]} images ({years})')
    print(f'{FOLDER}_lists.json: counts, hashes and classes')
    print(f'{record["val_images_in_voc2007_test"]} validation images are test '
          'images of VOC2007 too')


def write_by_mask(devkit: Devkit, names: Sequence[str]) -> None:
    """Write and count the two parts of lists that are there."""
    for name in names:
        parts = divide_by_mask(name, devkit.read_years(name), devkit)
        write_lists(devkit, parts)
        for part, years in parts.items():
            print(f'{part}: {sum(map(len, years.values()))} images')


def check(devkit: Devkit, names: Sequence[str]) -> int:
    """Print what is wrong with lists that are there; returns the exit
    status."""
    lists = {name: devkit.read_years(name) for name in names}
    for name, years in lists.items():
        counts = ', '.join(f'{year} {len(ids)}' for year, ids in years.items())
        print(f'{name}: {counts}')
    val = {VOC2012: devkit.read(VOC2012, 'Segmentation/val')}
    leaks = find_leaks(lists, devkit, val)
    for what, images in leaks.items():
        print(list_problems(what, images))
    if not leaks:
        print('nothing is listed twice, validated on or in VOC2007\'s test '
              'set')
    return 1 if leaks else 0


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command; returns its exit status."""
    args = parse_args(args)
    devkit = Devkit(args.root, args.masks)
    with user_errors():
        if args.check:
            return check(devkit, args.check)
        if args.by_mask:
            write_by_mask(devkit, args.by_mask)
        else:
            print_record(
                make(devkit, args.seed, args.det_share / 100, args.subsets))
    return 0


if __name__ == '__main__':
    sys.exit(main())
