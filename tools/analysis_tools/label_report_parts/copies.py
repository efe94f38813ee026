# Copyright (c) mmbombo contributors.
"""Pictures that look the same, by the perceptual hash of ``imagehash``."""
from typing import Iterator, List, NamedTuple, Optional

import numpy as np
from PIL import Image

from .finding import Finding, Place

try:
    from imagehash import phash
except ImportError:
    phash = None
#: Bits of 64 in which two copies differ at most. Of 228 photographs of COCO no
#: two differ in less than 14; scaled, stored anew, brightened or with 2 % less
#: at the border they differ from themselves in at most 10.
MAX_BITS = 10
#: Images that are compared with all at once.
CHUNK = 1024


class Picture(NamedTuple):
    """An image that can be read."""
    is_train: bool
    place: Place
    img_path: str
    signs: Optional[np.ndarray]  #: see :func:`signs_of`


def signs_of(image: np.ndarray) -> Optional[np.ndarray]:
    """64 signs, -1 or 1, that say what a BGR image looks like; None without
    ``imagehash``."""
    if phash is None:
        return None
    bits = phash(Image.fromarray(image[..., ::-1])).hash
    return 2 * bits.ravel().astype(np.float32) - 1


def find_copies(pictures: List[Picture]) -> Iterator[Finding]:
    """Pairs of training and validation, and of two sources of either; a file
    that two sources of training have is meant."""
    pictures = [x for x in pictures if x.signs is not None]
    signs = np.array([x.signs for x in pictures]).reshape(-1, 64)
    for start in range(0, len(signs), CHUNK):
        bits = (64 - signs[start:start + CHUNK] @ signs.T) / 2
        for i, j in np.argwhere(bits <= MAX_BITS):
            one, other = pictures[start + i], pictures[j]
            leaks = one.is_train > other.is_train
            if leaks or (one.is_train == other.is_train
                         and one.place[0] < other.place[0]
                         and one.img_path != other.img_path):
                yield Finding('copy', leaks + 1 - bits[i, j] / 64,
                              f'{bits[i, j]:.0f} of 64 bits differ', (),
                              one.place, other.place)
