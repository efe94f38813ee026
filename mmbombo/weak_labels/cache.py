# Copyright (c) mmbombo contributors.
"""Pseudo masks on disk, shared by any number of processes."""
import hashlib
import json
import struct
import zlib
from pathlib import Path
from typing import Any, Mapping, Optional, Union

import cv2
import numpy as np

from mmbombo.utils.atomic_write import atomic_write
from .boxes_to_masks import PseudoMask

#: To be raised whenever a method comes to paint differently: it is part of
#: the key, so that masks of older versions are not found any more.
FORMAT_VERSION = 4

# A PNG starts with 8 bytes and the 25 bytes of its header chunk.
_HEADER_SIZE = 33


class PseudoMaskCache:
    """Masks under a key of all that they are made from.

    A mask is a gray PNG that any viewer opens. One text chunk holds the sets
    of candidate classes that its values number, and another the key and a
    checksum of the rest of the file. What does not agree with it (a file that
    is half written, truncated, damaged, edited or foreign) counts as absent,
    and the next :meth:`put` replaces it. Files appear under their name only
    when they are complete, so that no process needs a lock.

    Args:
        root (str | Path): Folder of the cache, made when first written to.
    """

    def __init__(self, root: Union[str, Path]) -> None:
        self.root = Path(root)

    @staticmethod
    def key(image_bytes: bytes,
            boxes: np.ndarray,
            labels: np.ndarray,
            ignore_flags: np.ndarray,
            compatible: np.ndarray,
            outside: np.ndarray,
            method: str,
            rejected: str,
            options: Optional[Mapping[str, Any]] = None) -> str:
        """Key of a pseudo mask.

        Args:
            image_bytes (bytes): The image file.
            boxes (np.ndarray): (K, 4), like all that follows an argument of
                :func:`~mmbombo.weak_labels.boxes_to_mask`.
            labels (np.ndarray): (K,).
            ignore_flags (np.ndarray): (K,).
            compatible (np.ndarray): (S, D).
            outside (np.ndarray): (S,).
            method (str): Name of the method.
            rejected (str): What the rest of a box may show.
            options (Mapping, optional): Its options, plain values.

        Returns:
            str: 64 hexadecimal digits.
        """
        tables = [
            np.asarray(values, dtype=dtype).tolist()
            for values, dtype in ((boxes, float), (labels, int),
                                  (ignore_flags, int), (compatible,
                                                        int), (outside, int))
        ]
        recipe = json.dumps(
            [FORMAT_VERSION, *tables, method, rejected,
             dict(options or {})],
            sort_keys=True)
        digest = hashlib.sha256(recipe.encode() + b'\x00')
        digest.update(image_bytes)
        return digest.hexdigest()

    def path(self, key: str) -> Path:
        """File of a key, in a folder named after the start of the key."""
        return self.root / key[:2] / f'{key[2:]}.png'

    def get(self, key: str) -> Optional[PseudoMask]:
        """The mask of a key, or None if there is no good one."""
        try:
            data = self.path(key).read_bytes()
        except FileNotFoundError:
            return None
        note_end = _HEADER_SIZE + len(_note(key, b''))
        png = data[:_HEADER_SIZE] + data[note_end:]
        if data[_HEADER_SIZE:note_end] != _note(key, png):
            return None
        numbers = cv2.imdecode(
            np.frombuffer(png, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
        return PseudoMask(numbers, _read_classes(png[_HEADER_SIZE:]))

    def put(self, key: str, mask: PseudoMask) -> None:
        """Store the mask of a key.

        Raises:
            ValueError: If its numbers are not (H, W) uint8, or are empty.
            OSError: If the file cannot be written.
        """
        numbers = mask.numbers
        if numbers.ndim != 2 or numbers.dtype != np.uint8 or not numbers.size:
            raise ValueError(f'a mask must be (H, W) uint8 and not empty, got '
                             f'{numbers.shape} {numbers.dtype}')
        _, encoded = cv2.imencode('.png', numbers,
                                  [cv2.IMWRITE_PNG_COMPRESSION, 1])
        png = encoded.tobytes()
        head, body = png[:_HEADER_SIZE], png[_HEADER_SIZE:]
        rows = mask.classes.astype(int).tolist()
        body = _text_chunk('classes', json.dumps([mask.classes.shape[1], rows
                                                  ])) + body
        atomic_write(self.path(key), head + _note(key, head + body) + body)


def _note(key: str, png: bytes) -> bytes:
    """PNG text chunk that says what the file is."""
    return _text_chunk('mmbombo', f'{key} {hashlib.sha256(png).hexdigest()}')


def _text_chunk(keyword: str, text: str) -> bytes:
    """PNG text chunk."""
    chunk = b'tEXt' + f'{keyword}\x00{text}'.encode()
    return (struct.pack('>I',
                        len(chunk) - 4) + chunk +
            struct.pack('>I', zlib.crc32(chunk)))


def _read_classes(chunks: bytes) -> np.ndarray:
    """Sets of classes, from the text chunk that the chunks start with."""
    size, = struct.unpack('>I', chunks[:4])
    text = chunks[8:8 + size].partition(b'\x00')[2]
    num_classes, rows = json.loads(text)
    return np.array(rows, dtype=bool).reshape(-1, num_classes)
