# Copyright (c) mmbombo contributors.
"""Which of Tux Paint's stamps become cut-outs of which class.

Every picture that these rules keep was looked at. Nearly all clip art is
told by its colors (:func:`~.pictures.color_entropy`); what that leaves is
dropped by folder or by name here.
"""
from pathlib import Path
from typing import List, Optional

from .material import PHOTO_CLASSES, Cutout
from .pictures import (color_entropy, decode, is_large_enough,
                       soften_hard_edge, trim_cutout)

MIN_ENTROPY = 3.
# Longest matching folder decides; folders named cartoon or toys never do.
CLASS_OF_FOLDER = {
    'animals/birds': 'bird',
    'animals/mammals': 'mammal',
    'animals/marsupials': 'mammal',
    'plants/flowers': 'flower',
    'food/fruit': 'produce',
    'food/vegetables': 'produce',
    'food/nuts': 'produce',
    'food/spices': 'produce',
    'plants/mushrooms': 'produce',
    'household': 'household',
    'clothes': 'household',
    'hobbies': 'household',
    'symbols/money': 'coin',
}
# Folders of which only the pictures directly inside count.
SHALLOW = ('clothes', 'hobbies')
SKIPPED_FOLDERS = ('cartoon', 'toys', '00_symbols')
DROPPED = {
    # Paintings, renderings and odd cut-outs.
    'animals/mammals/aquatic/whale',
    'animals/mammals/aquatic/dolphin',
    'animals/mammals/aquatic/orca',
    'animals/mammals/apes/tamarin_emperor',
    'animals/mammals/bovines/gnu-sitting',
    'clothes/button',
    'household/key',
    # The same cut-out as another one.
    'food/fruit/apple_green',
}
UPRIGHT_CLASSES = ('bird', 'mammal')
# Near duplicates: they go to the same part of the data set.
GROUPS = {
    'symbols/money/euro/coins/001': 'euro copper',
    'symbols/money/euro/coins/002': 'euro copper',
    'symbols/money/euro/coins/005': 'euro copper',
    'symbols/money/euro/coins/010': 'euro brass',
    'symbols/money/euro/coins/020': 'euro brass',
    'symbols/money/euro/coins/050': 'euro brass',
    'animals/mammals/bovines/gnu-baby': 'gnu baby',
    'animals/mammals/bovines/gnu-baby-stand': 'gnu baby',
    'animals/mammals/pig_golden': 'pig golden',
    'animals/mammals/pig_golden2': 'pig golden',
    'household/arttools/scissors_small_closed': 'scissors small',
    'household/arttools/scissors_small_open': 'scissors small',
}


def read_stamps(root: Path) -> List[Cutout]:
    """Cut-outs of photographs below Tux Paint's stamps folder."""
    cutouts = []
    for path in sorted(root.rglob('*.png')):
        place = path.relative_to(root).with_suffix('')
        name = place.as_posix()
        class_name = class_of(name)
        if class_name is None:
            continue
        pixels = soften_hard_edge(trim_cutout(decode(path)))
        if not is_large_enough(pixels) or color_entropy(pixels) < MIN_ENTROPY:
            continue
        cutouts.append(
            Cutout(
                name=name,
                label=PHOTO_CLASSES.index(class_name),
                family=place.parent.as_posix(),
                group=GROUPS.get(name, name),
                pixels=pixels,
                upright=class_name in UPRIGHT_CLASSES))
    return cutouts


def class_of(name: str) -> Optional[str]:
    """Class of the stamp of this name (path without suffix), None if it is
    not wanted."""
    # A mirrored stamp would be the same object a second time.
    if name in DROPPED or name.endswith('_mirror'):
        return None
    folders = name.split('/')[:-1]
    if set(folders) & set(SKIPPED_FOLDERS):
        return None
    for depth in range(len(folders), 0, -1):
        folder = '/'.join(folders[:depth])
        if folder in CLASS_OF_FOLDER:
            if folder in SHALLOW and depth < len(folders):
                return None
            return CLASS_OF_FOLDER[folder]
    return None
