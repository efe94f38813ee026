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

#: To be raised whenever a method comes to paint differently: it is part of
#: the key, so that masks of older versions are not found any more.
FORMAT_VERSION = 2

# A PNG starts with 8 bytes and the 25 bytes of its header chunk.
_HEADER_SIZE = 33
_KEYWORD = b'mmbombo\x00'


class PseudoMaskCache:
    """Masks under a key of all that they are made from.

    A mask is a gray PNG that any viewer opens, with a text chunk that holds
    the key and a checksum of the rest of the file. What does not agree with
    it (a file that is half written, truncated, damaged, edited or foreign)
    counts as absent, and the next :meth:`put` replaces it. Files appear under
    their name only when they are complete, so that no process needs a lock.

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
            det_to_seg: np.ndarray,
            outside_id: int,
            method: str,
            options: Optional[Mapping[str, Any]] = None) -> str:
        """Key of a pseudo mask.

        Args:
            image_bytes (bytes): The image file.
            boxes (np.ndarray): (K, 4), like all that follows an argument of
                :func:`~mmbombo.weak_labels.boxes_to_mask`.
            labels (np.ndarray): (K,).
            ignore_flags (np.ndarray): (K,).
            det_to_seg (np.ndarray): (D,).
            outside_id (int): Value outside all boxes.
            method (str): Name of the method.
            options (Mapping, optional): Its options, plain values.

        Returns:
            str: 64 hexadecimal digits.
        """
        tables = [
            np.asarray(values, dtype=dtype).reshape(-1).tolist()
            for values, dtype in ((boxes, float), (labels, int),
                                  (ignore_flags, int), (det_to_seg, int))
        ]
        recipe = json.dumps(
            [FORMAT_VERSION, *tables,
             int(outside_id), method,
             dict(options or {})],
            sort_keys=True)
        digest = hashlib.sha256(recipe.encode() + b'\x00')
        digest.update(image_bytes)
        return digest.hexdigest()

    def path(self, key: str) -> Path:
        """File of a key, in a folder named after the start of the key."""
        return self.root / key[:2] / f'{key[2:]}.png'

    def get(self, key: str) -> Optional[np.ndarray]:
        """The mask (H, W) uint8 of a key, or None if there is no good one."""
        try:
            data = self.path(key).read_bytes()
        except FileNotFoundError:
            return None
        note_end = _HEADER_SIZE + len(_note(key, b''))
        png = data[:_HEADER_SIZE] + data[note_end:]
        if data[_HEADER_SIZE:note_end] != _note(key, png):
            return None
        return cv2.imdecode(
            np.frombuffer(png, dtype=np.uint8), cv2.IMREAD_UNCHANGED)

    def put(self, key: str, mask: np.ndarray) -> None:
        """Store the mask (H, W) uint8 of a key.

        Raises:
            ValueError: If the mask is not (H, W) uint8, or is empty.
            OSError: If the file cannot be written.
        """
        if mask.ndim != 2 or mask.dtype != np.uint8 or mask.size == 0:
            raise ValueError(f'a mask must be (H, W) uint8 and not empty, got '
                             f'{mask.shape} {mask.dtype}')
        _, encoded = cv2.imencode('.png', mask,
                                  [cv2.IMWRITE_PNG_COMPRESSION, 1])
        png = encoded.tobytes()
        atomic_write(
            self.path(key),
            png[:_HEADER_SIZE] + _note(key, png) + png[_HEADER_SIZE:])


def _note(key: str, png: bytes) -> bytes:
    """PNG text chunk that says what the file is."""
    text = b'tEXt' + _KEYWORD + (
        f'{key} {hashlib.sha256(png).hexdigest()}'.encode())
    return (struct.pack('>I',
                        len(text) - 4) + text +
            struct.pack('>I', zlib.crc32(text)))
