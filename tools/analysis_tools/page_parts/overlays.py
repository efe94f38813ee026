# Copyright (c) mmbombo contributors.
"""Pictures and maps as the bytes of small files."""
import io
from typing import Optional, Sequence

import cv2
import numpy as np
from PIL import Image

from mmbombo.structures import IGNORE_INDEX
from mmbombo.visualization.drawing import HATCH_DARK, HATCH_LIGHT, hatch
from mmbombo.visualization.palette import ClassStyle, Color, style_of

#: Opacity of a map, 0 to 255; its outlines are opaque.
OPACITY = 110


def css(color: Color) -> str:
    """An RGB color (0-255) for CSS."""
    return '#{:02x}{:02x}{:02x}'.format(*color)


def jpeg(image: np.ndarray) -> bytes:
    """An RGB image ``(H, W, 3)`` as a file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, 'JPEG', quality=85)
    return file.getvalue()


def map_png(ids: np.ndarray, styles: Sequence[ClassStyle],
            background: Optional[int]) -> bytes:
    """Class ids ``(H, W)`` as a palette image with transparency.

    The id ``background`` is transparent, ignored pixels are gray stripes, and
    the outline of each region is opaque.
    """
    pixels = np.zeros(ids.shape, np.uint8)
    colors = [(0, 0, 0), HATCH_DARK, HATCH_LIGHT]
    opacity = [0, OPACITY, OPACITY]
    ignored = ids == IGNORE_INDEX
    light = hatch(*ids.shape)[..., 0] == HATCH_LIGHT[0]
    pixels[ignored] = 1 + light[ignored]
    for label in np.unique(ids).tolist():
        if label in (background, IGNORE_INDEX):
            continue
        mask = (ids == label).astype(np.uint8)
        inner = cv2.erode(mask, np.ones((3, 3), np.uint8)) > 0
        pixels[mask > 0] = len(colors) + 1
        pixels[inner] = len(colors)
        colors += [style_of(styles, label).color] * 2
        opacity += [OPACITY, 255]
    image = Image.fromarray(pixels, mode='P')
    image.putpalette([value for color in colors for value in color])
    file = io.BytesIO()
    image.save(file, 'PNG', transparency=bytes(opacity), optimize=True)
    return file.getvalue()
