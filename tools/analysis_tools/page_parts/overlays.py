# Copyright (c) mmbombo contributors.
"""Pictures and maps as the bytes of small files."""
import io
from typing import Optional, Sequence

import cv2
import numpy as np
from PIL import Image

from mmbombo.structures import IGNORE_INDEX
from mmbombo.visualization import MultiTaskLocalVisualizer
from mmbombo.visualization.drawing import HATCH_DARK, HATCH_LIGHT, hatch
from mmbombo.visualization.layers import SEG, Layer
from mmbombo.visualization.multi_task_visualizer import background_id
from mmbombo.visualization.palette import (ClassStyle, Color, class_styles,
                                           style_of)
from .page import Box, Panel

#: Longest side of pictures and maps, in pixels.
MAX_SIDE = 480

#: Opacity of a map, 0 to 255; its outlines are opaque.
OPACITY = 110


def css(color: Color) -> str:
    """An RGB color (0-255) for CSS."""
    return '#{:02x}{:02x}{:02x}'.format(*color)


def jpeg(image: np.ndarray) -> bytes:
    """An RGB image ``(H, W, 3)`` as a file, at most :data:`MAX_SIDE` long."""
    file = io.BytesIO()
    picture = Image.fromarray(image)
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    picture.save(file, 'JPEG', quality=85)
    return file.getvalue()


def layer_panel(name: str, image: np.ndarray, layer: Layer,
                visualizer: MultiTaskLocalVisualizer) -> Panel:
    """What the visualizer would draw of a layer on an RGB image."""
    det_styles, seg_styles = class_styles(visualizer.dataset_meta)
    boxes = []
    for box in sorted(layer.boxes, key=lambda box: box.ignored):
        style = style_of(seg_styles if box.task == SEG else det_styles,
                         box.label)
        score = '' if box.score is None else f' {box.score:.2f}'
        boxes.append(
            Box(box.xyxy, css(style.color), style.name + score, box.ignored))
    mask, legend = None, []
    if layer.ids is not None:
        ids = layer.ids[:image.shape[0], :image.shape[1]].astype(np.int16)
        mask = map_png(ids, seg_styles, background_id(seg_styles))
        styles = visualizer.styles_in([layer._replace(ids=ids, boxes=[])])
        legend = [(x.name, css(x.color)) for x in styles]
    names = visualizer.dataset_meta.get('cls_classes') or ()
    text = '; '.join(
        f'{word}: {", ".join(names[i] for i in labels) or "nothing"}'
        for word, labels in layer.tags.items() if labels or word == 'shows')
    return Panel(name, text, boxes, mask, legend)


def map_png(ids: np.ndarray, styles: Sequence[ClassStyle],
            background: Optional[int]) -> bytes:
    """Class ids ``(H, W)`` as a palette image with transparency.

    The id ``background`` is transparent, ignored pixels are gray stripes, and
    the outline of each region is opaque.
    """
    scale = min(1, MAX_SIDE / max(ids.shape))
    ids = cv2.resize(
        ids, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
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
