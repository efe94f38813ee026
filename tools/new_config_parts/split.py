# Copyright (c) mmbombo contributors.
"""Which images are for training, and which for validation."""
import random
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Set, Tuple

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
        for key, path in source.images.items():
            if source.validation or in_folder(path, VALIDATION):
                held.add(stem(path))
                given.add(source.kind)
    for group in groups(x for x in sources if x.kind not in given):
        random.Random(seed).shuffle(group)
        held.update(group[:max(round(fraction * len(group)), 1)])
    return {source.name: divide(source, held) for source in sources}


def groups(sources: Sequence[Found]) -> List[List[str]]:
    """Names of images, by the sources that have them."""
    owners: Dict[str, Tuple[str, ...]] = {}
    for source in sources:
        for name in {stem(path) for path in source.images.values()}:
            owners[name] = (*owners.get(name, ()), source.name)
    found: Dict[Tuple[str, ...], List[str]] = {}
    for name in sorted(owners):
        found.setdefault(owners[name], []).append(name)
    return list(found.values())


def divide(source: Found, held: Set[str]) -> Split:
    """Images of a source that are not held out, and those that are."""
    parts: Split = Split([], [])
    for key, path in source.images.items():
        if not source.validation and in_folder(path, TEST):
            continue
        parts[stem(path) in held].append(key)
    if source.validation:
        return Split([], parts.val)
    if not parts.train:
        raise DatasetError(f'{source.place}: all {len(parts.val)} images are '
                           'for validation')
    return parts


def in_folder(path: str, names: Set[str]) -> bool:
    """Whether a folder of a path has one of the names."""
    return not names.isdisjoint(x.lower() for x in Path(path).parts[:-1])


def stem(path: str) -> str:
    """What an image is called in all sources."""
    return Path(path).stem
