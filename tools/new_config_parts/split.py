# Copyright (c) mmbombo contributors.
"""Which images are for training, and which for validation."""
import random
from collections import defaultdict
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Set

from mmbombo.datasets.errors import DatasetError
from .found import Found

VALIDATION = {'val', 'valid', 'validation', 'val2017'}
TEST = {'test', 'testing', 'test2017'}


class Split(NamedTuple):
    """How the lists of a source name its images."""
    train: List[str]
    val: List[str]


def split(sources: Sequence[Found], fraction: float,
          seed: int) -> Dict[str, Split]:
    """Divide the images of each source, by its name.

    Images of one name stay on one side. Sources that are for validation, and
    folders named so, are taken as they are; of sources of other kinds a
    fraction is held out.
    """
    given = {x.kind for x in sources if x.validation}
    held: Set[str] = set()
    for source in sources:
        for path in source.images.values():
            if source.validation or in_folder(path, VALIDATION):
                held.add(Path(path).stem)
                given.add(source.kind)
    for group in groups([x for x in sources if x.kind not in given]):
        random.Random(seed).shuffle(group)
        held.update(group[:max(round(fraction * len(group)), 1)])
    return {source.name: divide(source, held) for source in sources}


def groups(sources: Sequence[Found]) -> List[List[str]]:
    """Names of images, by the sources that have them."""
    found: Dict[tuple, List[str]] = defaultdict(list)
    stems = {source.name: source.stems for source in sources}
    for stem in sorted(set().union(*stems.values())):
        found[tuple(x for x in stems if stem in stems[x])].append(stem)
    return list(found.values())


def divide(source: Found, held: Set[str]) -> Split:
    """Images of a source that are not held out, and those that are."""
    parts = Split([], [])
    for key, path in source.images.items():
        if source.validation or not in_folder(path, TEST):
            parts[Path(path).stem in held].append(key)
    if not parts.train and not source.validation:
        raise DatasetError(f'{source.place}: all {len(parts.val)} images are '
                           'for validation')
    return parts


def in_folder(path: str, names: Set[str]) -> bool:
    """Whether a folder of a path has one of the names."""
    return not names.isdisjoint(x.lower() for x in Path(path).parts[:-1])
