# Copyright (c) mmbombo contributors.
"""Pseudo masks and regions on disk, shared by any number of processes."""
import hashlib
import io
import json
import logging
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Union

import numpy as np
from mmengine.logging import print_log

from mmbombo.utils.atomic_write import atomic_write
from .boxes_to_masks import PseudoMask
from .region_proposals import RegionProposals

#: To be raised whenever a method comes to paint differently: it is part of
#: the key, so that masks of older versions are not found any more.
FORMAT_VERSION = 4
#: The same, for regions.
REGIONS_VERSION = 1


class ArrayCache:
    """Tuples of arrays under a key of all that they are made from.

    They are a file of NumPy (``.npz``), with checksums. What is half written,
    truncated or damaged counts as absent, and the next :meth:`put` replaces
    it. Files appear under their name only when they are complete, so that no
    process needs a lock.

    Where they cannot be written, each process keeps its own in memory.

    Args:
        root (str | Path): Folder of the cache, made when first written to.
    """
    #: the class of the named tuples
    content: type

    def __init__(self, root: Union[str, Path]) -> None:
        self.root = Path(root)
        self.memory: Dict[str, bytes] = {}
        there = next(x for x in (self.root, *self.root.absolute().parents)
                     if x.exists())
        if not os.access(there, os.W_OK):
            _say_once(f'{self.root} cannot be written: what belongs there is '
                      'kept in memory, and made anew by the next run')

    def path(self, key: str) -> Path:
        """File of a key, in a folder named after the start of the key."""
        return self.root / key[:2] / f'{key[2:]}.npz'

    def get(self, key: str) -> Optional[Any]:
        """What is under a key, or None if there is nothing good."""
        try:
            stored = self.memory.get(key)
            with np.load(
                    io.BytesIO(stored) if stored else self.path(key)) as file:
                return self.content(**file)
        except Exception:  # what is no such file fails in many ways
            return None

    def put(self, key: str, content: Any) -> None:
        """Store it under a key."""
        file = io.BytesIO()
        np.savez_compressed(file, **content._asdict())
        try:
            atomic_write(self.path(key), file.getvalue())
        except OSError:  # read-only, or full
            self.memory[key] = file.getvalue()


@lru_cache(maxsize=None)
def _say_once(message: str) -> None:
    print_log(message, 'current', logging.WARNING)


class RegionCache(ArrayCache):
    """Superpixels and regions of images."""
    content = RegionProposals

    @staticmethod
    def key(image: np.ndarray, options: Mapping[str, Any]) -> str:
        """Key of the pixels of an image and all arguments of
        :func:`~mmbombo.weak_labels.propose_regions`."""
        recipe = json.dumps([REGIONS_VERSION, image.shape, options],
                            sort_keys=True)
        digest = hashlib.sha256(recipe.encode() + b'\x00')
        digest.update(np.ascontiguousarray(image))
        return digest.hexdigest()


class PseudoMaskCache(ArrayCache):
    """Masks, and the sets of candidate classes that their values number."""
    content = PseudoMask

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
        """Key of a pseudo mask, 64 hexadecimal digits, of the image file and
        all arguments of :func:`~mmbombo.weak_labels.boxes_to_mask`."""
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
