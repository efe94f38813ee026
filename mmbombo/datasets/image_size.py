# Copyright (c) mmbombo contributors.
from typing import Tuple

from PIL import Image

from .errors import DatasetError

#: EXIF's tag, and its values that exchange width and height.
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)


def read_image_size(path: str) -> Tuple[int, int]:
    """(height, width) of an image as it is loaded, from its header alone."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION) in TURNED
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f'{path}: missing or not an image ({error}); '
                           'restore it, or remove its annotation') from error
    return (width, height) if turned else (height, width)
