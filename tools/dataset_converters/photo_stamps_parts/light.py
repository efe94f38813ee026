# Copyright (c) mmbombo contributors.
"""Jitter of light, color, sharpness and grain."""
import cv2
import numpy as np


def relight(image: np.ndarray, strength: float,
            rng: np.random.Generator) -> np.ndarray:
    """Change brightness, white balance, contrast and saturation a little.

    Together they are one affine map of the color, so it can be applied to
    colors multiplied by alpha, too: the shift is multiplied with them. The
    image is ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGB times alpha and alpha in
    [0, 1], float32, colors in [0, 255]; ``(H, W, 3)`` comes back.
    """
    gain = 1 + strength * rng.uniform(-1, 1)
    balance = 1 + strength * rng.uniform(-.3, .3, 3)
    saturation = 1 + strength * rng.uniform(-1.5, 1)
    contrast = 1 + strength * rng.uniform(-1, 1)
    mix = saturation * np.eye(3) + (1 - saturation) / 3
    colors = contrast * mix * (gain * balance)
    shift = np.full((3, 1), 128 * (1 - contrast))
    affine = np.hstack([colors, shift]).astype(np.float32)
    highest = 255 if image.shape[2] == 3 else 255 * image[..., 3:]
    # OpenCV takes the last column as a shift or for the fourth channel.
    return np.clip(cv2.transform(image, affine), 0, highest)


def soften(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; ``sigma`` in pixels, under 0.2 is left alone."""
    if sigma < .2:
        return image
    return cv2.GaussianBlur(image, (0, 0), sigma)


def add_grain(rgb: np.ndarray, sigma: float,
              rng: np.random.Generator) -> np.ndarray:
    """Add brightness noise of standard deviation ``sigma`` (gray levels)."""
    noise = rng.standard_normal((*rgb.shape[:2], 1), dtype=np.float32)
    return np.clip(rgb + np.float32(sigma) * noise, 0, 255)
