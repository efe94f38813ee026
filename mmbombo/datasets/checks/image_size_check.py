# Copyright (c) mmbombo contributors.
"""Images of another size than their annotation file says.

Boxes are pixels of the image that was annotated. If that was another one,
larger or not yet turned, they lie beside the objects. But some converters
write no size, or a wrong one beside boxes that are right, such as width and
height of a photograph before its EXIF data turn it; then it is the boxes that
tell which of the two sizes they were drawn in.
"""
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Callable, Dict, List, Sequence, Tuple

from mmbombo.datasets.boxes import OVERSHOOT

#: A difference of so many pixels moves no box off its object.
SLACK = 2
#: Stands for a side that the file does not know.
UNKNOWN_SIDE = 2**31 - 1

Size = Tuple[int, int]


@dataclass(frozen=True)
class ListedImage:
    """What a file says of an image, and what it is.

    Args:
        path (str): The image.
        listed (tuple): (height, width) in the file.
        size (tuple[int, int]): (height, width) of the image as it is decoded.
        boxes (Sequence): x1, y1, x2, y2 of each box in the file.
    """
    path: str
    listed: Tuple[Any, Any]
    size: Size
    boxes: Sequence[Sequence[float]]

    @property
    def differs(self) -> bool:
        """bool: The file says another size."""
        return (all(map(is_known, self.listed))
                and tuple(self.listed) != tuple(self.size))

    @property
    def is_close(self) -> bool:
        """bool: The difference moves no box off its object."""
        return all(
            abs(a - b) <= SLACK for a, b in zip(self.listed, self.size))

    @property
    def turned(self) -> bool:
        """bool: Width and height are swapped."""
        return tuple(self.listed) == tuple(self.size)[::-1]

    def reaches_out(self, size: Size) -> bool:
        """Whether a box does not fit an image of a size."""
        height, width = size
        return any(
            min(x1, y1) < -OVERSHOOT or x2 > width + OVERSHOOT
            or y2 > height + OVERSHOOT for x1, y1, x2, y2 in self.boxes)

    def __str__(self) -> str:
        return (f'{self.path} is {self.size[1]}x{self.size[0]}, not '
                f'{self.listed[1]}x{self.listed[0]}')


def is_known(side: Any) -> bool:
    """Whether a file says how long a side is: some say 0, or nothing."""
    return isinstance(side, (int, float)) and 0 < side < UNKNOWN_SIDE


def listed_size(image: Dict[str, Any]) -> Size:
    """(width, height) that a file lists for an image.

    Args:
        image (dict): An entry of COCO's ``images``.

    Returns:
        tuple[int, int]: :data:`UNKNOWN_SIDE` for what it does not know.
    """
    width, height = (
        image[key] if is_known(image[key]) else UNKNOWN_SIDE
        for key in ('width', 'height'))
    return width, height


def find_doubtful(images: Sequence[ListedImage]) -> List[ListedImage]:
    """Find the images of another size whose boxes may be beside the objects.

    The size in the file is known to be the wrong one if all boxes fit the
    image, but not the size in the file. What is found out about one image
    whose sides are swapped counts for all such.

    Args:
        images (Sequence[ListedImage]): Images of a source.

    Returns:
        list[ListedImage]: Those with boxes whose size differs by more than
        rounding, and whose boxes do not tell that they are right.
    """
    suspects = [
        image for image in images
        if image.differs and image.boxes and not image.is_close
    ]
    # each image that is not turned is a group of its own
    suspects.sort(key=lambda image: (not image.turned, image.path))
    doubtful: List[ListedImage] = []
    for _, group in groupby(suspects, lambda x: x.turned or x.path):
        alike = list(group)
        fit = not any(image.reaches_out(image.size) for image in alike)
        if not fit or not any(x.reaches_out(x.listed) for x in alike):
            doubtful += alike
    return doubtful


def describe_doubt(images: Sequence[ListedImage]) -> str:
    """Say what the likeliest cause is, and what to do.

    Args:
        images (Sequence[ListedImage]): What :func:`find_doubtful` found.

    Returns:
        str: Lines for the end of a message.
    """
    if all(image.turned for image in images):
        cause = ('Width and height are swapped: perhaps the images were turned'
                 ' after they were annotated, or their EXIF data turn them')
    elif any(image.reaches_out(image.size) for image in images):
        cause = ('Boxes reach out of the images: these were scaled, cropped or'
                 ' turned after they were annotated')
    else:
        cause = ('Perhaps the images were scaled or cropped after they were '
                 'annotated')
    return (f'{cause}. Boxes are pixels of the annotated images, and would lie'
            ' beside the objects: use those images, or export the annotations'
            ' anew. Only if the boxes are right, and the sizes in the file '
            'alone are wrong, set `ignore_listed_sizes=True`, and look at the '
            'boxes with tools/analysis_tools/browse_dataset.py')


def keep_outside_boxes(parse: Callable[[dict], dict]
                       ) -> Callable[[dict], dict]:
    """Make MMDetection's COCO reader keep boxes outside the listed size.

    It leaves them out without a word, and the size may be wrong.

    Args:
        parse (Callable): ``CocoDataset.parse_data_info``.

    Returns:
        Callable: The same, with the listed size in what it returns, or
        :data:`UNKNOWN_SIDE` where there is none.
    """

    def parse_all(raw_info: Dict[str, Any]) -> dict:
        image = raw_info['raw_img_info']
        width, height = listed_size(image)
        boundless = dict(image, height=UNKNOWN_SIDE, width=UNKNOWN_SIDE)
        data_info = parse(dict(raw_info, raw_img_info=boundless))
        return dict(data_info, width=width, height=height)

    return parse_all
