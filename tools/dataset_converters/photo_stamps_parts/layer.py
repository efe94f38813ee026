# Copyright (c) mmbombo contributors.
"""One cut-out made ready to be pasted: flipped, scaled, turned, relit."""
from dataclasses import dataclass

import cv2
import numpy as np

from .light import relight, soften
from .material import Cutout

# Stamps are small; enlarging them further shows.
MAX_ENLARGEMENT = 2.5


@dataclass(eq=False)
class Layer:
    """Pixels to paste."""
    cutout: Cutout  # where they come from
    color: np.ndarray  # (h, w, 3) float32 RGB, multiplied by alpha
    alpha: np.ndarray  # (h, w) float32 in [0, 1]
    mask: np.ndarray  # (h, w) bool, alpha > 0.5; touches all four edges
    area: int  # pixels of the mask
    x: int = 0  # column of the left edge in the image; may be negative
    y: int = 0  # row of the top edge in the image; may be negative

    @property
    def height(self) -> int:
        return self.mask.shape[0]

    @property
    def width(self) -> int:
        return self.mask.shape[1]


def make_layer(cutout: Cutout, length: float,
               rng: np.random.Generator) -> Layer:
    """Transform a cut-out at random, to a layer that is not yet placed;
    ``length`` is that of the longer side in pixels, before turning."""
    # Colors under transparent pixels are arbitrary: weigh them with alpha
    # before any interpolation.
    rgba = cutout.pixels.astype(np.float32)
    rgba[..., 3] /= 255
    rgba[..., :3] *= rgba[..., 3:]
    if rng.random() < .5:
        rgba = rgba[:, ::-1]
    rgba = _resize(rgba, length, rng)
    rgba[..., :3] = relight(rgba, .18, rng)
    turn = rng.normal(0, 8) if cutout.upright else rng.uniform(-180, 180)
    rgba = _rotate(rgba, turn)
    rgba = soften(rgba, rng.choice([0, 0, rng.uniform(.2, .9)]))
    return _trim(cutout, rgba)


def _resize(rgba: np.ndarray, length: float,
            rng: np.random.Generator) -> np.ndarray:
    height, width = rgba.shape[:2]
    scale = min(length / max(height, width), MAX_ENLARGEMENT)
    stretch = np.exp(rng.uniform(-.1, .1))
    size = (max(3, round(width * scale * stretch)),
            max(3, round(height * scale / stretch)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(rgba), size, interpolation=how)


def _rotate(rgba: np.ndarray, degrees: float) -> np.ndarray:
    """Rotate about the center; the canvas grows to hold everything."""
    height, width = rgba.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    cos, sin = np.abs(matrix[0, :2])
    size = (int(np.ceil(width * cos + height * sin)) + 4,
            int(np.ceil(width * sin + height * cos)) + 4)
    matrix[:, 2] += np.array(size) / 2 - (width / 2, height / 2)
    return cv2.warpAffine(rgba, matrix, size, flags=cv2.INTER_LINEAR)


def _trim(cutout: Cutout, rgba: np.ndarray) -> Layer:
    mask = rgba[..., 3] > .5
    if not mask.any():
        # A cut-out can be too thin for its size; as nothing can be seen of
        # it, the caller will drop it for its area.
        mask[mask.shape[0] // 2, mask.shape[1] // 2] = True
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask.any(0))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    rgba, mask = rgba[window], mask[window]
    return Layer(cutout, rgba[..., :3], rgba[..., 3], mask, int(mask.sum()))
