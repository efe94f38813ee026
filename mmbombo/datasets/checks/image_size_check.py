# Copyright (c) mmbombo contributors.
"""Images of another size than their annotation file says.

Boxes are pixels of the image that was annotated. If that was another one,
larger or not yet turned, they lie beside the objects. But some converters
write no size, or a wrong one beside boxes that are right, such as width and
height of a photograph before its EXIF data turn it; then it is the boxes that
tell which of the two sizes they were drawn in.
"""
from typing import Any, Optional, Sequence, Tuple

#: A difference of so many pixels moves no box off its object.
SLACK = 2
#: Stands for a side that the file does not know.
UNKNOWN_SIDE = 2**31 - 1


def is_known(side: Any) -> bool:
    """Whether a file says how long a side is: some say 0, or nothing."""
    return isinstance(side, (int, float)) and 0 < side < UNKNOWN_SIDE


def find_doubt(listed: Tuple[Any, Any], size: Tuple[int, int],
               boxes: Sequence[Sequence[float]]) -> Optional[str]:
    """Say why the boxes of an image may be beside the objects, if so, the
    likeliest cause, and what to do.

    Sizes are (height, width): ``listed`` in the file, ``size`` of the image as
    it is decoded. The one in the file is known to be wrong if all boxes fit
    the image, but not the size in the file.
    """
    if not boxes or not all(map(is_known, listed)):
        return None
    if all(abs(a - b) <= SLACK for a, b in zip(listed, size)):
        return None
    fits = not _reach_out(boxes, size)
    if fits and _reach_out(boxes, listed):
        return None
    if listed == size[::-1]:
        cause = ('Width and height are swapped: perhaps the image was turned '
                 'after it was annotated, or its EXIF data turn it')
    else:
        cause = ('Perhaps it was scaled or cropped after it was annotated'
                 if fits else 'Boxes reach out of it: it was scaled, cropped '
                 'or turned after it was annotated')
    return (f'the image is {size[1]}x{size[0]}, not {listed[1]}x{listed[0]} '
            f'as the annotation says. {cause}. Use the image that was '
            'annotated, or export the annotation anew. Only if the boxes are '
            'right, and the size in the file alone is wrong, set '
            '`ignore_listed_sizes=True`')


def _reach_out(boxes: Sequence[Sequence[float]], size: Tuple[Any,
                                                             Any]) -> bool:
    """Whether a box does not fit an image, by more than rounding."""
    height, width = size
    return any(
        min(x1, y1) < -1 or x2 > width + 1 or y2 > height + 1
        for x1, y1, x2, y2 in boxes)
