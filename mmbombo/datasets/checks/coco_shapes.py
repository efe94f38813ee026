# Copyright (c) mmbombo contributors.
"""Polygons and run lengths over which pycocotools would crash, or take all
memory."""
from typing import Any, List, Optional, Sequence

from ..errors import DatasetError

#: How far a polygon may reach, as a multiple of its image, or in pixels.
MAX_REACH, MAX_SIDE = 4, 1e5


def check_shape(annotation: dict,
                path: str = '',
                size: Optional[Sequence[int]] = None) -> None:
    """Raise ``DatasetError`` for a ``segmentation`` over which pycocotools
    would crash or take all memory, for an image of ``size`` if that is
    known."""
    shape = annotation.get('segmentation')
    wrong = None
    if isinstance(shape, list):
        reach = MAX_REACH * max(size) if size else MAX_SIDE
        if not all(
                isinstance(x, list) and len(x) % 2 == 0 and _finite(x, reach)
                for x in shape):
            wrong = 'polygons must be lists x, y, x, y, ... in the image'
    elif isinstance(shape, dict):
        sides, runs = shape.get('size'), shape.get('counts')
        if isinstance(runs, str):
            runs = read_runs(runs)
        if not (isinstance(sides, list) and len(sides) == 2 and _finite(
                sides, MAX_SIDE) and isinstance(runs, list) and _finite(runs)
                and min(runs, default=0) >= 0):
            wrong = 'run lengths are corrupt'
        elif sum(runs) != sides[0] * sides[1]:
            wrong = (f'run lengths sum up to {sum(runs)} of '
                     f'{sides[0] * sides[1]} pixels')
    elif shape is not None:
        wrong = 'neither polygons nor run lengths'
    if wrong:
        raise DatasetError(f'{path}{": " * bool(path)}annotation '
                           f'{annotation.get("id")}: its segmentation is '
                           f'wrong: {wrong}')


def read_runs(text: str) -> Optional[List[int]]:
    """The lengths in COCO's compressed code, None if it is none: pycocotools
    reads on behind its end."""
    runs: List[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 30:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:  # there is more of this number
            continue
        value -= (bits & 16) << shift - 4
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return None if shift else runs


def _finite(numbers: Sequence[Any], largest: float = 1e9) -> bool:
    """Whether all are numbers that are not too large; NaN is none."""
    return all(
        type(x) in (int, float) and abs(x) <= largest for x in numbers)
