# Copyright (c) mmbombo contributors.
"""Pseudo masks and regions on disk, shared by any number of processes."""
import hashlib
import io
import json
from pathlib import Path
from typing import Any, Mapping, Optional, Union

import numpy as np

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

    Args:
        root (str | Path): Folder of the cache, made when first written to.
    """
    #: the class of the named tuples
    content: type

    def __init__(self, root: Union[str, Path]) -> None:
        self.root = Path(root)

    def path(self, key: str) -> Path:
        """File of a key, in a folder named after the start of the key."""
        return self.root / key[:2] / f'{key[2:]}.npz'

    def get(self, key: str) -> Optional[Any]:
        """What is under a key, or None if there is nothing good."""
        try:
            with np.load(self.path(key)) as file:
                return self.content(**file)
        except Exception:  # what is no such file fails in many ways
            return None

    def put(self, key: str, content: Any) -> None:
        """Store it under a key."""
        file = io.BytesIO()
        np.savez_compressed(file, **content._asdict())
        atomic_write(self.path(key), file.getvalue())


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
