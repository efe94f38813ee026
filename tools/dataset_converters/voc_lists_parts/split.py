# Copyright (c) mmbombo contributors.
"""Which image trains which task.

The structure is that of the authors' MXE lists (which are counted in their
repository); which of SBD's images go where is drawn anew, so it is our
reconstruction.
"""
import hashlib
import math
import re
from typing import Dict, Iterable, List, Tuple

from mmbombo.datasets.errors import DatasetError
from .devkit import VOC2007, VOC2012, Devkit, YearLists, identify

#: Of the 1,449 images of VOC2012's segmentation validation list, those that
#: the authors' validation list leaves out; VOC's detection lists do not have
#: them.
WITHOUT_BOXES = ('2008_000763', '2008_004172', '2008_004562', '2008_005145',
                 '2008_005262', '2008_008051')
#: Share of the images that trains detection: 7,558 of 15,214 in MXE.
DET_SHARE = 0.4968
SUBSET = re.compile(r'(det|seg)(\d+)(%?)')


def divide(devkit: Devkit, seed: int,
           det_share: float) -> Dict[str, YearLists]:
    """Divide the training images in two, and list those for validation.

    Validation: VOC2012's segmentation validation list; its photographs train
    nothing, under neither of their names.

    VOC2007: images of its segmentation list train segmentation, the other
    ones detection. VOC2012: images with an official mask train segmentation,
    those without any mask detection; those with a mask of SBD are drawn so
    that detection gets its share of all. Photographs of VOC2007 are used
    under their name there only.

    Args:
        devkit (Devkit): The data.
        seed (int): Seed of the draw.
        det_share (float): Share of all training images that trains detection.

    Returns:
        dict[str, dict]: ``det_train``, ``seg_train``, ``val`` and
        ``val1449``, each by year.
    """
    val = devkit.read(VOC2012, 'Segmentation/val')
    held_out = {identify(VOC2012, image_id) for image_id in val}

    def usable(year: str, ids: Iterable[str]) -> List[str]:
        photos = {identify(year, image_id) for image_id in ids} - held_out
        return sorted(photo.name for photo in photos if photo.year == year)

    official = set(devkit.read(VOC2007, 'Segmentation/trainval'))
    seg = {VOC2007: usable(VOC2007, official)}
    det = {
        VOC2007:
        usable(VOC2007,
               set(devkit.read(VOC2007, 'Main/trainval')) - official)
    }
    boxed = set(usable(VOC2012, devkit.read(VOC2012, 'Main/trainval')))
    masked = set(usable(VOC2012, devkit.with_mask()))
    official = set(devkit.read(VOC2012, 'Segmentation/train'))
    free = (masked & boxed) - official
    only_det, only_seg = boxed - masked, masked - free

    fixed = len(det[VOC2007]) + len(only_det)
    total = fixed + len(free) + len(seg[VOC2007]) + len(only_seg)
    num_drawn = round(det_share * total) - fixed
    if not 0 <= num_drawn <= len(free):
        raise DatasetError(
            f'--det-share {100 * det_share:g} must be from '
            f'{100 * fixed / total:.1f} to '
            f'{100 * (fixed + len(free)) / total:.1f} %, because {fixed} of '
            f'the {total} training images have boxes only. For fewer images '
            'of one task take a subset, such as --subsets det10%')
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
    return {
        f'{name}_masked': {
            VOC2012: [i for i in new if i in masked]
        },
        f'{name}_unmasked': {
            **years, VOC2012: [i for i in new if i not in masked]
        }
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
                seed: int) -> Tuple[str, YearLists]:
    """A part of a training list, the same share of each year.

    Smaller subsets are contained in larger ones.

    Args:
        name (str): Such as ``'det2'``, half of the detection list, or
            ``'seg10%'``, a tenth of the segmentation list.
        lists (dict): What :func:`divide` returned.
        seed (int): Seed of the draw.

    Returns:
        tuple[str, dict]: Name of the list, such as ``'det2_train'`` or
        ``'seg10pct_train'``, and the list by year.
    """
    match = SUBSET.fullmatch(name)
    share = 0.
    if match:
        task, number, percent = match.groups()
        number = int(number)
        share = number / 100 if percent else 1 / max(number, 1)
    if not 0 < share < 1:
        raise DatasetError(
            f'--subsets {name}: write det2 for half of the detection list, '
            'seg8 for an eighth of the segmentation list, or det10% for a '
            'tenth')
    subset = {}
    for year, ids in lists[f'{task}_train'].items():
        # a hair more than the product: 0.29 * 100 is 28.999999999999996
        count = math.floor(share * len(ids) + 1e-9)
        subset[year] = sorted(draw(ids, seed, 'subset')[:count])
    return f'{name.replace("%", "pct")}_train', subset
