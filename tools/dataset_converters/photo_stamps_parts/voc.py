# Copyright (c) mmbombo contributors.
"""Writing of one image with its annotations in the layout of PASCAL VOC."""
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Sequence, Tuple

import numpy as np
from PIL import Image

from .scene import Scene

IMAGES = 'JPEGImages'
BOXES = 'Annotations'
CLASS_MASKS = 'SegmentationClass'
OBJECT_MASKS = 'SegmentationObject'
LISTS = 'ImageSets/Main'
FOLDERS = (IMAGES, BOXES, CLASS_MASKS, OBJECT_MASKS, LISTS)


def color_map() -> np.ndarray:
    """VOC's color map: the bits of an id, spread over R, G and B from the
    highest bit down.

    Returns:
        ``(256, 3)`` uint8 RGB.
    """
    ids = np.arange(256)
    colors = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            on = (ids >> (3 * bit + channel)) & 1
            colors[:, channel] |= (on << (7 - bit)).astype(np.uint8)
    return colors


def extent(mask: np.ndarray) -> Tuple[int, int, int, int]:
    """First and last column and row of a non-empty mask.

    Args:
        mask: ``(H, W)`` bool.

    Returns:
        ``(x_first, y_first, x_last, y_last)``, 0-based, inclusive.
    """
    columns = np.flatnonzero(mask.any(0))
    rows = np.flatnonzero(mask.any(1))
    return (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))


def annotation(image_id: str, scene: Scene, classes: Sequence[str]) -> str:
    """The annotation XML of one image; pixel coordinates count from 1 and
    include the last pixel, as VOC's do."""
    height, width = scene.instances.shape
    root = ET.Element('annotation')
    _add(root, folder='PhotoStamps', filename=f'{image_id}.jpg')
    _add(ET.SubElement(root, 'source'), database='PhotoStamps')
    _add(ET.SubElement(root, 'size'), width=width, height=height, depth=3)
    _add(root, segmented=1)
    for i, thing in enumerate(scene.things, start=1):
        x0, y0, x1, y1 = extent(scene.instances == i)
        node = ET.SubElement(root, 'object')
        _add(
            node,
            name=classes[thing.label],
            pose='Unspecified',
            truncated=int(thing.truncated),
            occluded=int(thing.occluded),
            difficult=0)
        _add(
            ET.SubElement(node, 'bndbox'),
            xmin=x0 + 1,
            ymin=y0 + 1,
            xmax=x1 + 1,
            ymax=y1 + 1)
    ET.indent(root)
    return ET.tostring(root, encoding='unicode') + '\n'


def write(root: Path, image_id: str, scene: Scene,
          classes: Sequence[str]) -> None:
    """Write the four files of one image under ``root``."""
    ids = np.array([0] + [t.label + 1 for t in scene.things], np.uint8)
    _save_palette(ids[scene.instances],
                  root / CLASS_MASKS / f'{image_id}.png')
    _save_palette(scene.instances, root / OBJECT_MASKS / f'{image_id}.png')
    (root / BOXES / f'{image_id}.xml').write_text(
        annotation(image_id, scene, classes), encoding='utf-8')
    Image.fromarray(scene.image).save(
        root / IMAGES / f'{image_id}.jpg', quality=scene.jpeg_quality)


def _save_palette(ids: np.ndarray, path: Path) -> None:
    image = Image.fromarray(ids)
    image.putpalette(color_map().tobytes())
    image.save(path)


def _add(parent: ET.Element, **texts) -> None:
    for tag, text in texts.items():
        ET.SubElement(parent, tag).text = str(text)
