# Copyright (c) mmbombo contributors.
"""What scenes are made of, and its division into three disjoint parts.

``det`` images may be read for their boxes, ``seg`` images for their masks,
``val`` images for both. If the parts shared objects, each task would have
seen every object already and nothing could be gained from weak labels.
"""
from collections import defaultdict
from dataclasses import dataclass
from typing import Dict, List, Sequence

import numpy as np

# In the order that configs rely on. A class's detection label is its index;
# the segmentation ids of stuff, or that of the background, come first, then
# those of the objects.
PHOTO_CLASSES = ('bird', 'mammal', 'flower', 'produce', 'household', 'coin')
SHAPE_CLASSES = ('disc', 'rectangle', 'triangle', 'star')
BACKGROUND = ('background', )
# From what usually is at the top of an image to what is at its bottom.
STUFF_CLASSES = ('sky', 'building', 'foliage', 'water', 'ground')
SHAPE_STUFF_CLASSES = ('clouds', 'layers', 'gravel')
PARTS = ('det', 'seg', 'val')
# Dealt like cards: of eight groups three go to each half and two to val.
# The first three cards differ, so three groups are enough for all parts.
DEAL = ('det', 'seg', 'val', 'det', 'seg', 'det', 'seg', 'val')


class PhotoStampsError(Exception):
    """A problem that the user can solve; the message says how."""


@dataclass(frozen=True, eq=False)
class Cutout:
    """An object cut out of a photograph."""
    name: str  # unique name, the path inside its source
    label: int  # index into the class names
    family: str  # stratum: members of a family are spread over all parts
    group: str  # cut-outs of one group (near duplicates) stay in one part
    pixels: np.ndarray  # (H, W, 4) uint8 RGBA, trimmed to the object
    upright: bool  # whether the object has a natural up (an animal has)


@dataclass(frozen=True, eq=False)
class Background:
    """A photograph without class objects; ``pixels`` is ``(H, W, 3)``
    uint8 RGB, the other attributes are those of :class:`Cutout`, the label
    is an index into the classes of stuff."""
    name: str
    family: str
    group: str
    pixels: np.ndarray
    label: int = 0


@dataclass(frozen=True, eq=False)
class Pool:
    """The cut-outs and backgrounds, by label, that one part may use."""
    cutouts: Dict[int, List[Cutout]]
    backgrounds: Dict[int, List[Background]]


@dataclass(frozen=True, eq=False)
class Material:
    """Everything a data set is drawn from."""
    classes: tuple  # class names in label order
    cutouts: List[Cutout]
    backgrounds: List[Background]
    # where they come from: one dict per package with name, version and
    # sha256
    packages: List[dict]
    # file name -> text of the license notices to go beside the data
    notices: Dict[str, str]
    # classes of the backgrounds in label order. With several an image shows
    # some of them, with one a single background
    stuff: tuple = BACKGROUND


def divide(material: Material, seed: int) -> Dict[str, Pool]:
    """Give every cut-out and every background to exactly one of
    :data:`PARTS`."""
    rng = np.random.default_rng([seed, 1])
    cutouts = _divide_classes(material.cutouts, material.classes, rng)
    backgrounds = _divide_classes(material.backgrounds, material.stuff, rng)
    return {p: Pool(cutouts[p], backgrounds[p]) for p in PARTS}


def _divide_classes(items: Sequence, classes: Sequence[str],
                    rng: np.random.Generator) -> Dict[str, dict]:
    """The items of each part by label."""
    divided: Dict[str, dict] = {part: {} for part in PARTS}
    for label, name in enumerate(classes):
        members = [item for item in items if item.label == label]
        for part, share in _deal(members, rng, f'class "{name}"').items():
            divided[part][label] = share
    return divided


def _deal(items: Sequence, rng: np.random.Generator, what: str) -> dict:
    """Deal groups of items family by family, so each part sees each."""
    families = defaultdict(lambda: defaultdict(list))
    for item in sorted(items, key=lambda i: i.name):
        families[item.family][item.group].append(item)
    hand: List[list] = []
    for family in sorted(families):
        groups = [families[family][g] for g in sorted(families[family])]
        hand += [groups[i] for i in rng.permutation(len(groups))]
    if len(hand) < len(PARTS):
        raise PhotoStampsError(
            f'{what}: {len(hand)} different pictures found, at least '
            f'{len(PARTS)} are needed; this release of the packages seems to '
            'be laid out differently. Draw shapes instead: --data shapes')
    shares = {part: [] for part in PARTS}
    for i, group in enumerate(hand):
        shares[DEAL[i % len(DEAL)]] += group
    return shares
