# Copyright (c) mmbombo contributors.
"""Do training lists share photographs with each other, or with those that
they are tested on?

A photograph may have two names: see :func:`.devkit.identify`.
"""
from collections import Counter
from itertools import combinations
from typing import Dict, List, Tuple

from .devkit import VOC2007, VOC2012, Devkit, Photo, YearLists, identify


def find_leaks(lists: Dict[str, YearLists], devkit: Devkit,
               val: YearLists) -> Dict[str, List[str]]:
    """Look for photographs that are where they should not be: twice in a
    list, in two lists, in the validation list, or in VOC2007's test set.

    Returns:
        dict[str, list[str]]: What is wrong, and the images, as year/id.
    """
    photos = {name: _photos(years) for name, years in lists.items()}
    held_out = {photo for photo, _ in _photos(val)}
    trainval = set(devkit.read(VOC2007, 'Main/trainval'))
    found = {}
    for name, listed in photos.items():
        counts = Counter(photo for photo, _ in listed)
        found[f'{name} has photograph(s) more than once'] = [
            image for photo, image in listed if counts[photo] > 1
        ]
        found[f'{name} has validation image(s)'] = [
            image for photo, image in listed if photo in held_out
        ]
        found[f'{name} has test image(s) of VOC2007'] = [
            image for photo, image in listed if _is_test(photo, trainval)
        ]
    for one, other in combinations(photos, 2):
        common = {photo for photo, _ in photos[one]}
        found[f'{one} and {other} have image(s) in common'] = [
            image for photo, image in photos[other] if photo in common
        ]
    return {what: images for what, images in found.items() if images}


def count_test_twins(val: YearLists, devkit: Devkit) -> int:
    """How many validation images are test images of VOC2007."""
    trainval = set(devkit.read(VOC2007, 'Main/trainval'))
    return sum(
        _is_test(photo, trainval)
        for photo, _ in _photos({VOC2012: val[VOC2012]}))


def _photos(years: YearLists) -> List[Tuple[Photo, str]]:
    """Each photograph and the image as it is listed."""
    return [(identify(year, image_id), f'{year}/{image_id}')
            for year, ids in years.items() for image_id in ids]


def _is_test(photo: Photo, trainval: set) -> bool:
    # VOC2007 consists of trainval and test
    return photo.year == VOC2007 and photo.name not in trainval
