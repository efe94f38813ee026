# Copyright (c) mmbombo contributors.
"""Jitter of light, colour, sharpness and grain."""
import cv2
import numpy as np


def relight(rgb: np.ndarray, strength: float,
            rng: np.random.Generator) -> np.ndarray:
    """Change brightness, white balance, contrast and saturation a little.

    Args:
        rgb: ``(H, W, 3)`` float32 in [0, 255].
        strength: Relative size of the changes, e.g. 0.2.
        rng: Source of the changes.

    Returns:
        New array of the same shape and range.
    """
    gain = 1 + strength * rng.uniform(-1, 1)
    balance = 1 + strength * rng.uniform(-.3, .3, 3)
    contrast = 1 + strength * rng.uniform(-1, 1)
    saturation = 1 + strength * rng.uniform(-1.5, 1)
    rgb = rgb * (gain * balance).astype(np.float32)
    grey = rgb.mean(2, keepdims=True)
    rgb = grey + (rgb - grey) * np.float32(saturation)
    rgb = 128 + (rgb - 128) * np.float32(contrast)
    return np.clip(rgb, 0, 255)


def soften(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; ``sigma`` in pixels, under 0.2 is left alone."""
    if sigma < .2:
        return image
    return cv2.GaussianBlur(image, (0, 0), sigma)


def grain(rgb: np.ndarray, sigma: float,
          rng: np.random.Generator) -> np.ndarray:
    """Add sensor noise of standard deviation ``sigma`` (grey levels)."""
    noise = rng.standard_normal(rgb.shape, dtype=np.float32)
    return np.clip(rgb + np.float32(sigma) * noise, 0, 255)
