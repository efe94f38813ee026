# Copyright (c) mmbombo contributors.
"""What an image is annotated with.

A kind is declared, never inferred: an image known to hold no object has the
kind ``bbox`` and zero boxes, while an image without the kind says nothing.
"""
from typing import Sequence, Tuple

BBOX = 'bbox'
SEM_SEG = 'sem_seg'
KINDS = (BBOX, SEM_SEG)


def check_kinds(kinds: Sequence[str]) -> Tuple[str, ...]:
    """Return ``kinds`` as a tuple in a fixed order.

    Args:
        kinds (Sequence[str]): Annotation kinds that a source declares; may be
            empty.

    Returns:
        tuple[str, ...]: The kinds, ordered as in :data:`KINDS`.

    Raises:
        TypeError: If a single string is given instead of a sequence.
        ValueError: If a kind is unknown or given twice.
    """
    if isinstance(kinds, str):
        raise TypeError(
            f'annotation_kinds must be a sequence of kinds, such as '
            f"('{kinds}',), not the string '{kinds}'")
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise ValueError(f'unknown annotation kind(s) {unknown}; known kinds '
                         f'are {list(KINDS)}')
    if len(set(kinds)) != len(kinds):
        raise ValueError(f'annotation_kinds {tuple(kinds)} names a kind twice')
    return tuple(kind for kind in KINDS if kind in kinds)
