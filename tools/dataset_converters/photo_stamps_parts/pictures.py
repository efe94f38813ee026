# Copyright (c) mmbombo contributors.
"""Decoding of pictures and the measures they are judged by."""
from pathlib import Path
from typing import BinaryIO, Union

import cv2
import numpy as np
from PIL import Image

# Below this size or area a cut-out shows no object.
MIN_CUTOUT_SIDE = 32
MIN_CUTOUT_AREA = 200
MAX_CUTOUT_SIDE = 400
# Part of partly transparent pixels below which an edge counts as hard.
HARD_EDGE = .01
MAX_BACKGROUND_SIDE = 480


def decode(source: Union[Path, BinaryIO]) -> np.ndarray:
    """Decode a picture to ``(H, W, 4)`` uint8 RGBA; opaque where it has no
    alpha."""
    with Image.open(source) as image:
        return np.array(image.convert('RGBA'))


def color_entropy(rgba: np.ndarray) -> float:
    """Entropy in bits of the colors of the visible pixels, on 16 levels per
    channel. Photographs reach 3 bits, flat clip art does not."""
    visible = rgba[rgba[..., 3] > 127][:, :3].astype(np.int64) // 16
    counts = np.bincount(visible @ [256, 16, 1])
    shares = counts[counts > 0] / max(1, counts.sum())
    return float(-(shares * np.log2(shares)).sum())


def trim_cutout(rgba: np.ndarray) -> np.ndarray:
    """Cut away the transparent rim and bring the longer side to
    :data:`MAX_CUTOUT_SIDE` or less; empty where nothing is visible."""
    solid = rgba[..., 3] > 127
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    if not len(rows):
        return rgba[:0, :0]
    rgba = rgba[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    scale = MAX_CUTOUT_SIDE / max(rgba.shape[:2])
    if scale >= 1:
        return rgba.copy()
    # Weighed with alpha, as colors under transparent pixels are arbitrary.
    image = rgba.astype(np.float32)
    image[..., :3] *= image[..., 3:] / 255
    image = _shrink(image, scale)
    image[..., :3] /= np.maximum(image[..., 3:] / 255, 1e-3)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def soften_hard_edge(cutout: np.ndarray) -> np.ndarray:
    """Give a cut-out whose alpha is only on or off a soft edge, and take off
    the outermost pixel, which shows its old background."""
    alpha = cutout[..., 3]
    if ((alpha > 10) & (alpha < 245)).mean() > HARD_EDGE:
        return cutout
    # The rim of the picture counts as transparent.
    alpha = cv2.copyMakeBorder(alpha, 2, 2, 2, 2, cv2.BORDER_CONSTANT)
    alpha = cv2.erode(alpha, np.ones((3, 3), np.uint8))
    alpha = cv2.GaussianBlur(alpha, (0, 0), .8)[2:-2, 2:-2]
    return np.dstack([cutout[..., :3], alpha])


def is_large_enough(cutout: np.ndarray) -> bool:
    """Whether a trimmed cut-out shows anything."""
    return (cutout.size > 0 and max(cutout.shape[:2]) >= MIN_CUTOUT_SIDE
            and int((cutout[..., 3] > 127).sum()) >= MIN_CUTOUT_AREA)


def fit_background(rgba: np.ndarray) -> np.ndarray:
    """Drop alpha and bring the shorter side to :data:`MAX_BACKGROUND_SIDE`
    or less; returns ``(h, w, 3)`` uint8."""
    scale = MAX_BACKGROUND_SIDE / min(rgba.shape[:2])
    rgb = np.ascontiguousarray(rgba[..., :3])
    return rgb if scale >= 1 else _shrink(rgb, scale)


def _shrink(image: np.ndarray, scale: float) -> np.ndarray:
    size = tuple(max(1, round(s * scale)) for s in image.shape[1::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
