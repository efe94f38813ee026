# Copyright (c) mmbombo contributors.
r"""Divide Pascal VOC 2007 + 2012 into images for boxes and images for masks.

    python tools/dataset_converters/voc_lists.py data/VOCdevkit

writes ``ImageSets/mmbombo`` of both years:

- ``det_train.txt`` and ``seg_train.txt``: no photograph in common;
- parts of them (``--subsets``), such as ``det2_train.txt``;
- ``det_train_masked.txt`` and ``det_train_unmasked.txt``: what det_train has
  with and without masks, for an oracle; parts of it have them too;
- ``val1449.txt``: VOC2012's segmentation validation list; ``val.txt``: the
  1,443 images of it that have boxes too.

With VOC and SBD complete, det_train has 7,558 images and seg_train 7,656, in
the structure of the authors' MXE lists (which are counted in their
repository); which of SBD's images go where is our reconstruction. The masks
are needed: run ``sbd_masks.py`` first.

    python tools/dataset_converters/voc_lists.py data/VOCdevkit \
        --by-mask MXEdet/train

writes the two lists for an oracle, ``MXEdet/train_masked.txt`` and
``MXEdet/train_unmasked.txt``, of a list that is there.
"""
import argparse
import hashlib
import re
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Set


def parse_args(args: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'root', type=Path, help='folder that holds VOC2007 and VOC2012')
    parser.add_argument(
        '--seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument(
        '--subsets',
        nargs='*',
        default=['det2', 'seg2'],
        help='parts to write: det2 is half of the detection list, seg8 an '
        'eighth of the segmentation list (default: det2 seg2)')
    parser.add_argument(
        '--masks',
        default='SegmentationClassAug',
        help='folder of VOC2012 with the masks to train with; '
        'SegmentationClass does without SBD (default: %(default)s)')
    parser.add_argument(
        '--by-mask',
        nargs='+',
        metavar='LIST',
        help='divide these lists, such as MXEdet/train, into images with and '
        'without masks, and do nothing else')
    return parser.parse_args(args)


if __name__ == '__main__':  # --help waits for no library
    parse_args(None)

from mmbombo.datasets.errors import DatasetError
from mmbombo.utils import user_errors
from mmbombo.utils.atomic_write import atomic_write

YEARS = VOC2007, VOC2012 = 'VOC2007', 'VOC2012'
#: Of the 1,449 images of VOC2012's segmentation validation list, those that
#: the authors' validation list leaves out; VOC's detection lists do not have
#: them.
WITHOUT_BOXES = ('2008_000763', '2008_004172', '2008_004562', '2008_005145',
                 '2008_005262', '2008_008051')
#: Of the training images, those that train detection: 7,558 of 15,214, as in
#: MXE.
DET_SHARE = .4968
SUBSET = re.compile(r'(det|seg)([2-9]|[1-9]\d+)')

#: Image ids of each year.
YearLists = Dict[str, List[str]]


class Photo(NamedTuple):
    """A photograph: the year that it first appeared in, and its id there."""
    year: str
    name: str


def identify(year: str, image_id: str) -> Photo:
    """The photograph of an image: ``2007_000032`` of VOC2012 is ``000032`` of
    VOC2007."""
    if year == VOC2012 and image_id.startswith('2007_'):
        return Photo(VOC2007, image_id[len('2007_'):])
    return Photo(year, image_id)


class Devkit(NamedTuple):
    """The folder ``root`` that holds VOC2007 and VOC2012, and the folder of
    VOC2012 with the ``masks`` that may be trained with."""
    root: Path
    masks: str

    def list_path(self, year: str, name: str) -> Path:
        """File of a list such as ``'Main/trainval'``."""
        return self.root / year / 'ImageSets' / f'{name}.txt'

    def read(self, year: str, name: str) -> List[str]:
        """Image ids of a list of one year, in its order."""
        path = self.list_path(year, name)
        if not path.is_file():
            raise DatasetError(
                f'{path} does not exist: it comes with {year}; give the '
                'folder that holds VOC2007 and VOC2012 (VOCdevkit)')
        return path.read_text(encoding='utf-8').split()

    def with_mask(self) -> Set[str]:
        """Images of VOC2012 with a mask that may be trained with."""
        folder = self.root / VOC2012 / self.masks
        found = {path.stem for path in folder.glob('*.png')}
        if not found:
            raise DatasetError(
                f'{folder} holds no mask. Make it from SBD with: python '
                'tools/dataset_converters/sbd_masks.py '
                f'benchmark_RELEASE/dataset {self.root / VOC2012}; or use the '
                'official masks alone, with --masks SegmentationClass')
        return found


def divide(devkit: Devkit, seed: int) -> Dict[str, YearLists]:
    """Divide the training images in two, and list those for validation:
    ``det_train``, ``seg_train``, ``val`` and ``val1449``, each by year.

    Validation: VOC2012's segmentation validation list; its photographs train
    nothing, under neither of their names.

    VOC2007: images of its segmentation list train segmentation, the other ones
    detection. VOC2012: images with an official mask train segmentation, those
    without any mask detection; those with a mask of SBD are drawn so that
    detection gets its share of all, if there are enough. Photographs of
    VOC2007 are used under their name there only.
    """
    val = devkit.read(VOC2012, 'Segmentation/val')
    held_out = {identify(VOC2012, image_id) for image_id in val}

    def usable(year: str, ids: Iterable[str]) -> List[str]:
        photos = {identify(year, image_id) for image_id in ids} - held_out
        return sorted(photo.name for photo in photos if photo.year == year)

    official = set(devkit.read(VOC2007, 'Segmentation/trainval'))
    others = set(devkit.read(VOC2007, 'Main/trainval')) - official
    seg = {VOC2007: usable(VOC2007, official)}
    det = {VOC2007: usable(VOC2007, others)}
    boxed = set(usable(VOC2012, devkit.read(VOC2012, 'Main/trainval')))
    masked = set(usable(VOC2012, devkit.with_mask()))
    official = set(devkit.read(VOC2012, 'Segmentation/train'))
    free = (masked & boxed) - official
    only_det, only_seg = boxed - masked, masked - free

    fixed = len(det[VOC2007]) + len(only_det)
    total = fixed + len(free) + len(seg[VOC2007]) + len(only_seg)
    num_drawn = max(round(DET_SHARE * total) - fixed, 0)
    drawn = set(draw(free, seed, 'divide')[:num_drawn])
    det[VOC2012] = sorted(only_det | drawn)
    seg[VOC2012] = sorted(only_seg | (free - drawn))
    return dict(
        det_train=det,
        seg_train=seg,
        val={VOC2012: [i for i in val if i not in WITHOUT_BOXES]},
        val1449={VOC2012: val})


def divide_by_mask(name: str, years: YearLists,
                   devkit: Devkit) -> Dict[str, YearLists]:
    """A list in two, for an oracle that trains with all that there is:
    ``<name>_masked``, the images of VOC2012 that have a mask, and
    ``<name>_unmasked``, all others; each by year."""
    masked = devkit.with_mask()
    new = years.get(VOC2012, [])
    without = dict(years, VOC2012=[i for i in new if i not in masked])
    return {
        f'{name}_masked': dict(VOC2012=[i for i in new if i in masked]),
        f'{name}_unmasked': without
    }


def draw(ids: Iterable[str], seed: int, purpose: str) -> List[str]:
    """Shuffle by the hash of seed, purpose and id.

    The order of two ids depends on nothing else, such as the other ids or the
    version of a library. Draws for different purposes are independent.
    """
    return sorted(
        ids,
        key=lambda image_id: hashlib.sha256(f'{seed} {purpose} {image_id}'.
                                            encode()).digest())


def take_subset(name: str, lists: Dict[str, YearLists],
                seed: int) -> Dict[str, YearLists]:
    """A part of a training list, the same share of each year; smaller subsets
    are contained in larger ones.

    ``'det2'`` is half of the detection list, named ``'det2_train'``.
    """
    match = SUBSET.fullmatch(name)
    if not match:
        raise DatasetError(
            f'--subsets {name}: write det2 for half of the detection list, or '
            'seg8 for an eighth of the segmentation list')
    task, parts = match.groups()
    return {
        f'{name}_train': {
            year: sorted(draw(ids, seed, 'subset')[:len(ids) // int(parts)])
            for year, ids in lists[f'{task}_train'].items()
        }
    }


def write_lists(devkit: Devkit, lists: Dict[str, YearLists]) -> None:
    """Write one file per list, named as in ``ImageSets``, and year, and print
    the counts."""
    for name, years in lists.items():
        for year, ids in years.items():
            content = ''.join(f'{image_id}\n' for image_id in ids)
            atomic_write(devkit.list_path(year, name), content.encode())
        counts = {year: len(ids) for year, ids in years.items()}
        shown = ', '.join(f'{year} {count}' for year, count in counts.items())
        print(f'{name}: {sum(counts.values())} images ({shown})')


def make(devkit: Devkit, seed: int, subsets: Sequence[str]) -> None:
    """Make and write the lists."""
    lists = divide(devkit, seed)
    for name in subsets:
        lists.update(take_subset(name, lists, seed))
    for name in [x for x in lists if x.startswith('det')]:
        lists.update(divide_by_mask(name, lists[name], devkit))
    write_lists(devkit, {f'mmbombo/{x}': y for x, y in lists.items()})


def write_by_mask(devkit: Devkit, names: Sequence[str]) -> None:
    """Write and count the two parts of lists that are there."""
    for name in names:
        years = {
            year: devkit.read(year, name)
            for year in YEARS if devkit.list_path(year, name).is_file()
        }
        if not years:
            raise DatasetError(f'there is no list {name!r}: '
                               f'{devkit.list_path(VOC2012, name)} does not '
                               'exist, nor does that of VOC2007')
        write_lists(devkit, divide_by_mask(name, years, devkit))


@user_errors()
def main(args: Optional[Sequence[str]] = None) -> None:
    args = parse_args(args)
    devkit = Devkit(args.root, args.masks)
    if args.by_mask:
        write_by_mask(devkit, args.by_mask)
    else:
        make(devkit, args.seed, args.subsets)


if __name__ == '__main__':
    main()
