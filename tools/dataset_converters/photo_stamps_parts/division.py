# Copyright (c) mmbombo contributors.
"""Division of cut-outs and backgrounds into three disjoint parts.

``det`` images may be read for their boxes, ``seg`` images for their masks,
``val`` images for both. If the parts shared objects, each task would have
seen every object already and nothing could be gained from weak labels.
"""
from collections import defaultdict
from typing import Dict, List, Sequence

import numpy as np

from .items import Material, PhotoStampsError, Pool

PARTS = ('det', 'seg', 'val')
# Dealt like cards: of eight groups three go to each half and two to val.
# The first three cards differ, so three groups are enough for all parts.
DEAL = ('det', 'seg', 'val', 'det', 'seg', 'det', 'seg', 'val')


def divide(material: Material, seed: int) -> Dict[str, Pool]:
    """Give every cut-out and every background to exactly one part.

    Args:
        material: What there is.
        seed: Seed of the division.

    Returns:
        The pool of each of :data:`PARTS`.

    Raises:
        PhotoStampsError: If a class or the backgrounds have too few
            members for all parts to get one.
    """
    rng = np.random.default_rng([seed, 1])
    cutouts = {part: {} for part in PARTS}
    for label, name in enumerate(material.classes):
        members = [c for c in material.cutouts if c.label == label]
        for part, share in _deal(members, rng, f'class "{name}"').items():
            cutouts[part][label] = share
    backgrounds = _deal(material.backgrounds, rng, 'the backgrounds')
    return {p: Pool(cutouts[p], backgrounds[p]) for p in PARTS}


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
            f'{len(PARTS)} are needed (one each for the det half, the seg '
            'half and val). Add pictures to that folder.')
    shares = {part: [] for part in PARTS}
    for i, group in enumerate(hand):
        shares[DEAL[i % len(DEAL)]] += group
    return shares
