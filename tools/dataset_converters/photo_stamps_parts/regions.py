# Copyright (c) mmbombo contributors.
"""Irregular division of an image into regions."""
from typing import Sequence, Tuple

import cv2
import numpy as np

# Odds that a region's center is anywhere, not at its usual height.
MISPLACED_ODDS = .25
# Of all pixels, a region has at least so many.
MIN_PART = .06
# Strength of the noise that bends the borders, by its cells per image side.
BENDS = ((3, .1), (8, .03), (24, .01))


def divide_image(size: Tuple[int, int], heights: Sequence[float],
                 rng: np.random.Generator) -> np.ndarray:
    """Draw regions: the points next to random centers, by a distance that is
    bent by noise; ``(H, W)`` uint8, all occur.

    ``heights`` is where each region usually has its center, 0 at the top and 1
    at the bottom of the image.
    """
    if len(heights) == 1:
        return np.zeros(size, np.uint8)
    while True:
        regions = _draw_regions(size, heights, rng)
        parts = np.bincount(regions.ravel(), minlength=len(heights))
        if parts.min() >= MIN_PART * regions.size:
            return regions


def _draw_regions(size: Tuple[int, int], heights: Sequence[float],
                  rng: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[:1:size[0] * 1j, :1:size[1] * 1j]
    # Flat regions more often than tall ones.
    flatness = rng.uniform(.15, 1)
    distances = []
    for height in heights:
        y = height + rng.normal(0, .12)
        if rng.random() < MISPLACED_ODDS:
            y = rng.random()
        x = rng.random()
        distance = np.hypot(rows - y, flatness * (columns - x))
        distances.append(distance + _noise(size, rng))
    return np.argmin(distances, 0).astype(np.uint8)


def _noise(size: Tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    noise = np.zeros(size)
    for cells, strength in BENDS:
        noise += cv2.resize(
            rng.normal(0, strength, (cells, cells)),
            size[::-1],
            interpolation=cv2.INTER_CUBIC)
    return noise
