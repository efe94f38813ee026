# Copyright (c) mmbombo contributors.
"""Images that users hand in: found, named and checked."""
import os
import os.path as osp
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

from PIL import Image

from mmbombo.datasets.image_size import too_large
from mmbombo.utils import MissingFileError

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif',
                  '.tiff', '.webp')


def list_images(folder: str) -> List[str]:
    """Return the paths of the images in a folder, sorted by name."""
    names = sorted(
        entry.name for entry in os.scandir(folder)
        if entry.is_file() and entry.name.lower().endswith(IMAGE_SUFFIXES))
    if not names:
        raise MissingFileError(f'no image ({", ".join(IMAGE_SUFFIXES)}) in '
                               f'folder {folder!r}')
    return [osp.join(folder, name) for name in names]


def find_problem(path: Union[str, os.PathLike]) -> Optional[str]:
    """Say what is wrong with an image file, or return None.

    OpenCV fills the missing part of a truncated JPEG with gray and says
    nothing, so the file is decoded once with Pillow, which does.
    """
    if not osp.isfile(path):
        return 'no such file'
    try:
        with Image.open(path) as image:
            image.load()
    except Image.DecompressionBombError as error:
        return too_large(error)
    except Exception as error:  # Pillow's plugins raise many types
        return f'truncated or not an image ({type(error).__name__}: {error})'
    return None


def unique_names(paths: Sequence[Optional[str]]) -> List[str]:
    """Name the results of images after their files, each name once.

    ``a`` for ``x/a.jpg``, ``a_1`` for a second ``y/a.png``; an image without
    a file (None) is named by its place.
    """
    used: Dict[str, int] = {}
    for place, path in enumerate(paths):
        name = stem = f'{place:08d}' if path is None else Path(path).stem
        # A file 'a_1.jpg' may be among the others.
        while name in used:
            used[stem] += 1
            name = f'{stem}_{used[stem]}'
        used[name] = 0
    return list(used)
