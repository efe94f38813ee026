# Copyright (c) mmbombo contributors.
"""Finding files, and which of them belong together."""
import os.path as osp
from collections import defaultdict
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from mmbombo.datasets.errors import DatasetError
from mmbombo.datasets.image_label_dataset import IMAGE_SUFFIXES

#: How names of images and of their masks may end, besides being equal.
TAILS = (('', ''), ('_leftImg8bit', '_gtFine_labelTrainIds'),
         ('_leftImg8bit', '_gtFine_labelIds'), ('', '_mask'), ('', '_seg'),
         ('', '_label'), ('', '_labels'))


def list_files(folder: str, *suffixes: str) -> List[str]:
    """Files below a folder, relative to it, sorted; images by default."""
    if not osp.isdir(folder):
        raise DatasetError(f'{folder} is not a folder')
    return sorted(
        path.relative_to(folder).as_posix() for path in Path(folder).rglob('*')
        if path.suffix.lower() in (
            suffixes or IMAGE_SUFFIXES) and path.is_file())


def images_of(stems: Sequence[str], given: Optional[str],
              standard: Sequence[str]) -> List[str]:
    """Images of some names in a folder that was given, or in standard ones."""
    return [
        file for folder in ([given] if given else standard)
        if osp.isdir(folder) for file in list_files(folder)
        if osp.splitext(file)[0] in set(stems)
    ]


def find_images(given: Optional[str], standard: Sequence[str],
                files: Sequence[str], option: str) -> str:
    """The folder of the images: what was given with an option, or a standard
    place, if one of the first files is there."""
    for folder in [given] if given else standard:
        if any(osp.isfile(osp.join(folder, file)) for file in files[:9]):
            return osp.normpath(folder)
    looked = given or ', '.join(map(osp.normpath, standard))
    raise DatasetError(f'{files[0] if files else "no image"} is not in '
                       f'{looked}: name the folder of the images with '
                       f'{option}')


def pair(images: Sequence[str],
         masks: Sequence[str]) -> Tuple[Dict[str, str], str, str]:
    """Which mask belongs to which image, and how their names end
    (``_leftImg8bit.png``): of several endings that with the most pairs."""
    best: Tuple[Dict[str, str], str, str] = ({}, '', '')
    for image_tail, mask_tail in TAILS:
        for image_end, by_image in by_ending(images, image_tail):
            for mask_end, by_mask in by_ending(masks, mask_tail):
                pairs = {
                    path: by_mask[stem]
                    for stem, path in by_image.items() if stem in by_mask
                }
                if len(pairs) > len(best[0]):
                    best = pairs, image_end, mask_end
    return best


def by_ending(paths: Sequence[str],
              tail: str) -> List[Tuple[str, Dict[str, str]]]:
    """Tail and suffix, and what comes before them to the path."""
    found: Dict[str, Dict[str, str]] = defaultdict(dict)
    for path in paths:
        stem, suffix = osp.splitext(path)
        if stem.endswith(tail):
            found[tail + suffix][stem[:len(stem) - len(tail)]] = path
    return sorted(found.items())
