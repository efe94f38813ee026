# Copyright (c) mmbombo contributors.
"""Names and colors of the classes of both tasks.

Detection and segmentation number their classes differently, so each has its
own list; a class that both tasks know by the same name has one color.
"""
import colorsys
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

Color = Tuple[int, int, int]
BACKGROUND = 'background'
#: Stands in maps of ids for pixels of which several classes are possible.
SEVERAL = 256
#: How much nearer to white the objects of one class are, by their numbers.
SHADES = (0., .2, .4, .6)
_GOLDEN_RATIO = 0.6180339887498949


class ClassStyle(NamedTuple):
    """Name and RGB color (0-255) of one class."""
    name: str
    color: Color


def distinct_color(index: int) -> Color:
    """Return the ``index``-th of an endless row of distinct colors: hues
    advance by the golden ratio, so any prefix is spread evenly."""
    hue = (0.02 + index * _GOLDEN_RATIO) % 1
    rgb = colorsys.hsv_to_rgb(hue, (0.85, 0.65)[index % 2],
                              (1.0, 0.85, 0.7)[index % 3])
    return tuple(int(round(255 * value)) for value in rgb)


def _given_colors(palette, names: Sequence[str]) -> Dict[str, Color]:
    """Colors by name; MMDetection's names of palettes (``'random'``) say
    nothing about a class."""
    if palette is None or isinstance(palette, str):
        return {}
    return {
        name: tuple(map(int, color))
        for name, color in zip(names, palette)
    }


def class_styles(
    dataset_meta: Optional[dict],
    colors: Optional[Dict[str, Color]] = None
) -> Tuple[List[ClassStyle], List[ClassStyle]]:
    """Settle the colors of all classes.

    A class takes, in this order: its color in ``colors``, in
    ``seg_palette``, in ``palette``, a generated one. The two lists are the
    styles by detection label and by segmentation id.
    """
    meta = dataset_meta or {}
    det_names = tuple(meta.get('classes') or ())
    seg_names = tuple(meta.get('seg_classes') or ())
    settled = {BACKGROUND: (0, 0, 0)}
    settled.update(_given_colors(meta.get('palette'), det_names))
    settled.update(_given_colors(meta.get('seg_palette'), seg_names))
    settled.update(colors or {})
    for name in seg_names + det_names:
        if name not in settled:
            settled[name] = distinct_color(len(settled) - 1)
    return ([ClassStyle(name, settled[name]) for name in det_names],
            [ClassStyle(name, settled[name]) for name in seg_names])


def segment_styles(segments: Sequence[dict],
                   styles: Sequence[ClassStyle]) -> List[ClassStyle]:
    """Styles by id of the segments of
    :func:`~mmbombo.structures.panoptic.read_segments`: objects of one class
    have shades of its color."""
    colors = {style.name: style.color for style in styles}
    found = [ClassStyle('void', (0, 0, 0))]
    for x in segments:
        name = x['class_name']
        color = colors.get(name, distinct_color(x['label']))
        light = SHADES[x['number'] % len(SHADES)]
        found.append(
            ClassStyle(name, tuple(int(c + light * (255 - c)) for c in color)))
    return found


def style_of(styles: Sequence[ClassStyle], label: int) -> ClassStyle:
    """Return the style of a label, also of one that has no name."""
    if 0 <= label < len(styles):
        return styles[label]
    if label == SEVERAL:
        return ClassStyle('one of several', (235, 235, 235))
    return ClassStyle(f'class {label}', distinct_color(label))


def text_color(background: Color) -> Color:
    """Return black or white, whichever reads better on ``background``."""
    red, green, blue = background
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return (0, 0, 0) if luma > 140 else (255, 255, 255)


def label_map_image(ids: np.ndarray,
                    styles: Sequence[ClassStyle]) -> Image.Image:
    """Ids ``(H, W)`` of 0-255 as a palette image, 255 in VOC's color of it."""
    image = Image.fromarray(ids.astype(np.uint8), mode='P')
    colors = [style.color for style in styles[:255]]
    # with less than 256 colors Pillow would cut bits off
    colors += [(0, 0, 0)] * (255 - len(colors)) + [(224, 224, 192)]
    image.putpalette([value for color in colors for value in color])
    return image
