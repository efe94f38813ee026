# Copyright (c) mmbombo contributors.
"""Do training lists share photographs with each other, or with those that
they are tested on?

A photograph may have two names: see :func:`.devkit.identify`.
"""
from collections import Counter
from itertools import combinations
from typing import Dict, List, NamedTuple, Set

from .devkit import VOC2007, VOC2012, Devkit, Photo, YearLists, identify


class Finding(NamedTuple):
    """Something that is wrong with lists.

    Attributes:
        what (str): For the message.
        images (list[str]): Images concerned, as year/id.
    """
    what: str
    images: List[str]


def find_leaks(lists: Dict[str, YearLists], devkit: Devkit,
               val: YearLists) -> List[Finding]:
    """Look for photographs that are where they should not be.

    Args:
        lists (dict[str, dict]): Training lists that should be disjoint, by
            name and year.
        devkit (Devkit): The data.
        val (dict): Validation list, by year.

    Returns:
        list[Finding]: Photographs that a list has twice, that two lists have
        in common, that are validated on, and that are test images of VOC2007.
    """
    val_photos = {photo for photo, _ in _photos(val)}
    trainval = set(devkit.read(VOC2007, 'Main/trainval'))
    findings = []
    for name, years in lists.items():
        findings += [
            Finding(f'{name} has photograph(s) more than once', _twice(years)),
            Finding(f'{name} has validation image(s)',
                    _select(years, val_photos)),
            Finding(
                f'{name} has test image(s) of VOC2007',
                # VOC2007 consists of trainval and test.
                [
                    image for photo, image in _photos(years)
                    if photo.year == VOC2007 and photo.name not in trainval
                ])
        ]
    for (one, first), (other, second) in combinations(lists.items(), 2):
        common = {photo for photo, _ in _photos(first)}
        findings.append(
            Finding(f'{one} and {other} have image(s) in common',
                    _select(second, common)))
    return [finding for finding in findings if finding.images]


def count_test_twins(val: YearLists, devkit: Devkit) -> int:
    """How many validation images are test images of VOC2007."""
    trainval = set(devkit.read(VOC2007, 'Main/trainval'))
    return sum(photo.year == VOC2007 and photo.name not in trainval
               for photo, _ in _photos({VOC2012: val.get(VOC2012, [])}))


def _photos(years: YearLists) -> List[tuple]:
    """Each photograph and the image as it is listed."""
    return [(identify(year, image_id), f'{year}/{image_id}')
            for year, ids in years.items() for image_id in ids]


def _select(years: YearLists, photos: Set[Photo]) -> List[str]:
    """Images whose photograph is one of ``photos``."""
    return [image for photo, image in _photos(years) if photo in photos]


def _twice(years: YearLists) -> List[str]:
    counts = Counter(photo for photo, _ in _photos(years))
    return [image for photo, image in _photos(years) if counts[photo] > 1]
