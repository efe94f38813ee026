# Copyright (c) mmbombo contributors.
"""Images, opened so that no file surprises: a broken one is named, and one
that would not fit into memory is refused before it is decoded."""
import os
from contextlib import contextmanager
from io import BytesIO
from typing import Iterator, Optional, Tuple

from mmengine.fileio import get
from PIL import Image

from .errors import DatasetError

#: Images of more pixels are refused; some kilobytes can claim any number.
MAX_PIXELS = int(os.environ.get('MMBOMBO_MAX_PIXELS', 200_000_000))
# Pillow warns from here on, and refuses from twice as many on.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
#: EXIF's tag, and its values that exchange width and height.
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)


@contextmanager
def open_image(path: str,
               what: str = 'image',
               backend_args: Optional[dict] = None,
               remedy: str = '') -> Iterator[Image.Image]:
    """Open a file with Pillow; ``DatasetError`` names it, if it cannot be
    opened, or decoded in here, or is too large.

    Without a remedy, one that is missing is a ``FileNotFoundError``: the
    source knows which list names it.
    """
    try:
        with Image.open(BytesIO(get(path, backend_args))) as image:
            yield image
    except DatasetError:
        raise
    except Image.DecompressionBombError as error:
        raise DatasetError(f'{path}: {too_large(error)}') from error
    except Exception as error:  # Pillow's plugins raise many types
        if isinstance(error, FileNotFoundError) and not remedy:
            raise
        cause = str(error).partition(' <_io.')[0]
        raise DatasetError(
            f'{path}: the {what} is missing, truncated or not an image '
            f'({cause}); {remedy or "restore it, or remove it from the list"}'
        ) from error


def too_large(error: Image.DecompressionBombError) -> str:
    """What to say of an image that has too many pixels."""
    size = str(error).partition(' exceeds')[0]
    return (f'{size}, more than {MAX_PIXELS}: it is not decoded. Scale or cut '
            'it, or set MMBOMBO_MAX_PIXELS in the environment')


def refuse_large(path: str) -> None:
    """Raise ``DatasetError`` if the header of a file says that it has more
    pixels than :data:`MAX_PIXELS`; of whatever else is wrong with it, those
    speak who decode it."""
    try:
        Image.open(path).close()
    except Image.DecompressionBombError as error:
        raise DatasetError(f'{path}: {too_large(error)}') from error
    except Exception:  # of many types; or a file of another backend
        pass


def read_image_size(path: str) -> Tuple[int, int]:
    """(height, width) of an image as it is loaded, from its header alone."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION) in TURNED
    except Image.DecompressionBombError as error:
        raise DatasetError(f'{path}: {too_large(error)}') from error
    except Exception as error:  # Pillow's plugins raise many types
        raise DatasetError(f'{path}: missing or not an image ({error}); '
                           'restore it, or remove its annotation') from error
    return (width, height) if turned else (height, width)
