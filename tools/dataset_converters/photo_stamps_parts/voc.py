# Copyright (c) mmbombo contributors.
"""Writing of one image with its annotations in the layout of PASCAL VOC."""
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Sequence

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
    """VOC's color map: the bits of an id, three at a time, are the highest
    bits of R, G and B; ``(256, 3)`` uint8."""
    bits = np.unpackbits(
        np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder='little')
    bits = np.pad(bits, [(0, 0), (0, 1)]).reshape(256, 3, 3)
    return np.sum(bits << np.array([[7], [6], [5]]), 1).astype(np.uint8)


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
        rows, columns = np.nonzero(scene.instances == i)
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
            xmin=columns.min() + 1,
            ymin=rows.min() + 1,
            xmax=columns.max() + 1,
            ymax=rows.max() + 1)
    ET.indent(root)
    return ET.tostring(root, encoding='unicode') + '\n'


def write(root: Path, image_id: str, scene: Scene, classes: Sequence[str],
          stuff: Sequence[str]) -> None:
    """Write the four files of one image under ``root``; ids of objects
    come after those of stuff."""
    ids = np.array([0] + [len(stuff) + t.label for t in scene.things],
                   np.uint8)
    masks = np.where(scene.instances, ids[scene.instances], scene.stuff)
    _save_palette(masks, root / CLASS_MASKS / f'{image_id}.png')
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
