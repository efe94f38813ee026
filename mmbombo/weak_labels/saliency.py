# Copyright (c) mmbombo contributors.
"""Salient pixels by a method that has learned from nothing."""
import cv2
import numpy as np

#: Longest side of the image that is looked at, in pixels.
SIDE = 64
#: Width of the border strips, relative to it.
STRIP = .1
#: Variance that a strip has at least, in CIELAB.
VARIANCE = 10.
#: How steep values are around the middle.
STEEPNESS = 10.


def barrier_saliency(image: np.ndarray) -> np.ndarray:
    """How hard it is to reach each pixel from the border of the image.

    The sum of two maps: the minimum barrier distance to the border, and how
    much the color differs from those of the border, save the side that it
    differs most from, which an object may touch.

    Source: Zhang et al., "Minimum Barrier Salient Object Detection at 80 FPS",
    ICCV 2015 (MB+), without its morphological smoothing and its preference
    for the middle of the image, and with sweeps over the whole image in place
    of raster scans.

    Args:
        image (np.ndarray): BGR uint8 (H, W, 3).

    Returns:
        np.ndarray: uint8 (H, W).
    """
    height, width = image.shape[:2]
    scale = min(1, SIDE / max(height, width))
    size = max(1, round(scale * width)), max(1, round(scale * height))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    lab = lab.transpose(2, 0, 1)
    saliency = _to_unit(barrier_distance(lab).sum(0))
    saliency = _to_unit(saliency + _to_unit(_border_contrast(lab)))
    saliency = 1 / (1 + np.exp(-STEEPNESS * (saliency - .5)))
    return cv2.resize(stretch(saliency), (width, height))


def barrier_distance(channels: np.ndarray) -> np.ndarray:
    """Minimum barrier distance to the border, approximately.

    Of all paths from the border to a pixel, the least difference of the
    highest and the lowest value on the way.

    Args:
        channels (np.ndarray): (C, H, W), each a map of its own.

    Returns:
        np.ndarray: (C, H, W).
    """
    distance, high, low = state = np.stack([channels] * 3)
    distance[:] = np.inf
    distance[:, [0, -1]] = distance[..., [0, -1]] = 0
    changed = True
    while changed:
        changed = False
        for turn in range(4):  # from each side
            values, moving = (
                np.rot90(x, turn, (-2, -1)) for x in (channels, state))
            before, here = moving[..., :-1, :], moving[..., 1:, :]
            highest = np.maximum(before[1], values[:, 1:])
            lowest = np.minimum(before[2], values[:, 1:])
            way = np.where(np.isinf(before[0]), np.inf, highest - lowest)
            shorter = way < here[0]
            for old, new in zip(here, (way, highest, lowest)):
                old[shorter] = new[shorter]
            changed |= shorter.any()
    return distance


def _border_contrast(lab: np.ndarray) -> np.ndarray:
    """Mahalanobis distance (H, W) to the colors of three border strips."""
    width = max(1, round(STRIP * max(lab.shape[1:])))
    maps = []
    for strip in (lab[:, :width], lab[:, -width:], lab[..., :width],
                  lab[..., -width:]):
        colors = strip.reshape(3, -1)
        covariance = np.cov(colors, bias=True) + VARIANCE * np.eye(3)
        offset = lab.reshape(3, -1) - colors.mean(1, keepdims=True)
        square = (offset * np.linalg.solve(covariance, offset)).sum(0)
        maps.append(_to_unit(np.sqrt(square)))
    contrast = np.sum(maps, 0) - np.max(maps, 0)
    return contrast.reshape(lab.shape[1:])


def stretch(values: np.ndarray) -> np.ndarray:
    """Values from their least to their greatest, as uint8 from 0 to 255."""
    return np.uint8(np.rint(255 * _to_unit(values)))


def _to_unit(values: np.ndarray) -> np.ndarray:
    span = values.max() - values.min()
    return (values - values.min()) / (span if span > 0 else 1)
