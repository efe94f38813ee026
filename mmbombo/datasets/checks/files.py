# Copyright (c) mmbombo contributors.
"""Checks of the files of a source, before training starts.

A training that dies in its third hour over one truncated file, or that learns
from a mask that silently became "ignore", costs more than looking at every
header once. Only files that the source's annotation kinds name are opened.
"""
import os
import os.path as osp
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Callable, Iterable, List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from mmengine.logging import print_log
from PIL import Image

from mmbombo.datasets.errors import DatasetError, list_problems
from mmbombo.datasets.seg_ids import describe_unknown_ids, unknown_ids

NUM_THREADS = 16
#: Files are looked at in portions of so many ...
CHUNK = 100
#: ... and waited for if the time is so many times that of the work, more than
#: another process on the same core would make it.
WAITING = 4
#: Up to so many masks have every pixel checked before training ...
FULL_CHECK = 5000
#: ... and of more, an evenly spaced sample of this size. Loading checks all.
SAMPLE_CHECK = 2000
#: A check that takes long says so every so many seconds.
REPORT_SECONDS = 5.

EXIF_ORIENTATION = 0x0112
#: Orientations that swap the axes of an image.
SWAPPED = (5, 6, 7, 8)
JPEG_FORMATS = ('JPEG', 'MPO')
#: So many bytes at the end of a PNG file are searched for EXIF data.
PNG_TAIL = 2**16
PNG_EXIF = b'eXIf'
PNG_END = b'IEND\xaeB`\x82'
JPEG_END = b'\xff\xd9'
#: Modes of a mask with one number per pixel.
MASK_MODES = ('P', 'L')


@dataclass(frozen=True)
class ListedFile:
    """A file and the place that names it.

    Args:
        path (str): The file.
        where (str): For messages, e.g. ``'train.txt line 3'``.
    """
    path: str
    where: str


def check_data_root(data_root: Optional[str],
                    source: str,
                    data_help: str = '') -> None:
    """Stop with the steps to take when the data are not there.

    Args:
        data_root (str, optional): Folder of the data set.
        source (str): Name of the source.
        data_help (str): How to get this data set. Defaults to ''.

    Raises:
        DatasetError: If the folder does not exist.
    """
    if not data_root or osp.isdir(data_root):
        return
    place = osp.abspath(data_root)
    advice = f', or get them: {data_help}' if data_help else ''
    raise DatasetError(
        f'source {source!r}: data_root {data_root!r} does not exist (it means '
        f'{place!r}). Set `data_root` of this source in the config to the '
        f'folder that holds the data{advice}')


def check_exist(files: Sequence[ListedFile],
                source: str,
                what: str,
                data_help: str = '') -> None:
    """Require that listed files exist.

    Args:
        files (Sequence[ListedFile]): Files to look for.
        source (str): Name of the source.
        what (str): What the files are, e.g. ``'image'``.
        data_help (str): How to get this data set. Defaults to ''.

    Raises:
        DatasetError: Naming the first few that are missing and their number.
    """
    missing = [file for file in files if not osp.isfile(file.path)]
    if missing:
        message = list_problems(
            f'source {source!r}: {what} file(s) missing',
            [f'{file.path} (listed in {file.where})' for file in missing])
        raise DatasetError('\n  '.join(filter(None, [message, data_help])))


def read_image_sizes(images: Sequence[ListedFile],
                     source: str,
                     data_help: str = '') -> List[Tuple[int, int]]:
    """Read the sizes of images from their headers; check that they are whole.

    Args:
        images (Sequence[ListedFile]): The images.
        source (str): Name of the source.
        data_help (str): How to get this data set. Defaults to ''.

    Returns:
        list[tuple[int, int]]: (height, width) of each image as it will be
        decoded, i.e. after the EXIF rotation.

    Raises:
        DatasetError: Naming missing, unreadable and truncated images.
    """
    check_exist(images, source, 'image', data_help)
    sizes = _for_each(lambda file: _image_size(file.path), images,
                      f'images of source {source!r}')
    problems = [size for size in sizes if isinstance(size, str)]
    if problems:
        raise DatasetError(
            list_problems(f'source {source!r}: unusable image(s)', problems))
    return sizes


def check_masks(masks: Sequence[ListedFile],
                sizes: Sequence[Tuple[int, int]],
                table: np.ndarray,
                seg_classes: Sequence[str],
                source: str,
                data_help: str = '') -> None:
    """Check the masks of a source against its images and its classes.

    Args:
        masks (Sequence[ListedFile]): One mask per image.
        sizes (Sequence[tuple[int, int]]): (height, width) of the images.
        table (np.ndarray): Table of shape (256, ), see
            :func:`~mmbombo.datasets.seg_ids.build_id_table`.
        seg_classes (Sequence[str]): Segmentation classes, for messages.
        source (str): Name of the source.
        data_help (str): How to get this data set. Defaults to ''.

    Raises:
        DatasetError: Naming missing, unreadable and truncated masks, those
            of another size than their image, those that are not one number
            per pixel, and ids that are no class.
    """
    check_exist(masks, source, 'mask', data_help)
    step = 1
    if len(masks) > FULL_CHECK:
        step = -(-len(masks) // SAMPLE_CHECK)

    def check(numbered: Tuple[int, ListedFile]) -> Optional[str]:
        number, file = numbered
        return _mask_problem(file.path, sizes[number],
                             table if number % step == 0 else None,
                             seg_classes)

    found = _for_each(check, list(enumerate(masks)),
                      f'masks of source {source!r}')
    problems = [problem for problem in found if problem is not None]
    if problems:
        raise DatasetError(
            list_problems(f'source {source!r}: unusable mask(s)', problems))


def describe_size_mismatch(mask: str, mask_size: Tuple[int, int],
                           image_size: Tuple[int, int]) -> str:
    """Say that a mask has another size (height, width) than its image."""
    return (f'{mask}: the mask is {mask_size[1]}x{mask_size[0]} but its image '
            f'is {image_size[1]}x{image_size[0]}')


def _for_each(function: Callable, items: Sequence, what: str) -> list:
    """Map in order, and say how far it is when it takes long.

    In threads from where on files are waited for, as those of a network or a
    cold disk are. Files in memory are read faster by one thread: several
    contend for the interpreter.
    """
    results: list = []
    reported = time.monotonic()
    waits = False
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for start in range(0, len(items), CHUNK):
            wall, work = time.monotonic(), time.thread_time()
            chunk = items[start:start + CHUNK]
            results += (pool.map if waits else map)(function, chunk)
            now = time.monotonic()
            waits = waits or now - wall > WAITING * (time.thread_time() - work)
            if now - reported > REPORT_SECONDS:
                reported = now
                print_log(
                    f'checked {len(results)} of {len(items)} {what}',
                    logger='current')
    return results


def _image_size(path: str) -> Union[Tuple[int, int], str]:
    """(height, width) of an image, or a string that says what is wrong."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            if _exif_orientation(path, image) in SWAPPED and _opencv_turns(
                    image.format):
                width, height = height, width
            _require_whole(path, image)
    except Exception as error:
        # Pillow's plugins raise many types on a broken file.
        return _describe_broken(path, error)
    return height, width


def _exif_orientation(path: str, image: Image.Image) -> int:
    """The orientation that the EXIF data of an open image name, 1 if none.

    Not as Pillow finds it, which takes it from XMP data too, as OpenCV does
    not, and decodes a whole PNG file to look for it.
    """
    found = image.info.get('exif')
    if found is None and image.format == 'PNG':
        found = _late_png_exif(path)
    if found is None:
        return 1
    exif = Image.Exif()
    try:
        exif.load(found)
    except Exception:
        # Pillow raises many types; the image is whole without it.
        return 1
    return exif.get(EXIF_ORIENTATION, 1)


def _late_png_exif(path: str) -> Optional[bytes]:
    """EXIF data behind the pixels of a PNG file, where some writers put it."""
    with open(path, 'rb') as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - PNG_TAIL))
        tail = file.read()
    start = tail.rfind(PNG_EXIF)
    if start < 4:
        return None
    end = start + 4 + int.from_bytes(tail[start - 4:start], 'big')
    # It may be four bytes of pixels by chance.
    if tail[end:end + 4] != zlib.crc32(tail[start:end]).to_bytes(4, 'big'):
        return None
    return tail[start + 4:end]


@lru_cache(maxsize=None)
def _opencv_turns(image_format: str) -> bool:
    """Whether the installed OpenCV applies the orientation of a format.

    That differs between formats, and between versions.
    """
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    file = BytesIO()
    known = 'JPEG' if image_format in JPEG_FORMATS else image_format
    try:
        Image.new('RGB', (2, 1)).save(file, known, exif=exif)
    except (KeyError, OSError):
        # A format that this Pillow only reads.
        return False
    content = np.frombuffer(file.getvalue(), np.uint8)
    decoded = cv2.imdecode(content, cv2.IMREAD_COLOR)
    return decoded is not None and decoded.shape[0] == 2


def _mask_problem(path: str, size: Tuple[int, int],
                  table: Optional[np.ndarray],
                  seg_classes: Sequence[str]) -> Optional[str]:
    """What is wrong with a mask; its pixels are read if there is a table."""
    try:
        with Image.open(path) as mask:
            if mask.mode not in MASK_MODES:
                return describe_mask_mode(path, mask.mode)
            _require_whole(path, mask)
            if mask.size[::-1] != tuple(size):
                return describe_size_mismatch(path, mask.size[::-1], size)
            if table is None:
                return None
            histogram = mask.histogram()
    except Exception as error:
        return _describe_broken(path, error)
    unknown = unknown_ids(np.flatnonzero(histogram), table)
    if unknown:
        return describe_unknown_ids(path, unknown, seg_classes)
    return None


def describe_mask_mode(path: str, mode: str) -> str:
    """Say that a mask file does not hold one 8-bit number per pixel."""
    return (f'{path}: the mask is stored as {mode} pixels, where an 8-bit '
            'palette (P) or gray (L) image with one class id per pixel is '
            'due; convert colors to class ids first')


def _require_whole(path: str, image: Image.Image) -> None:
    """Raise if the file of an open image ends early.

    The end marker decides cheaply. Some writers pad or append to a file, so
    one without the marker at its end is decoded before it is called broken.
    """
    if not _has_end_marker(path, image.format):
        image.load()


def _has_end_marker(path: str, image_format: str) -> bool:
    with open(path, 'rb') as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 16))
        tail = file.read()
    if image_format in JPEG_FORMATS:
        return tail.rstrip(b'\0\r\n').endswith(JPEG_END)
    if image_format == 'PNG':
        return tail.endswith(PNG_END)
    return False


def _describe_broken(path: str, error: Exception) -> str:
    return (f'{path}: truncated or not an image '
            f'({type(error).__name__}: {error})')


def number_lines(path: str) -> Iterable[Tuple[int, str]]:
    """The non-empty lines of a list file with their numbers, from 1.

    Args:
        path (str): A UTF-8 text file.

    Yields:
        tuple[int, str]: Line number and stripped line.
    """
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line.strip()
