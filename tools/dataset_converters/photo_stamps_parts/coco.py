# Copyright (c) mmbombo contributors.
"""Writing of COCO's panoptic segments, and of its instances.

Segments do not overlap. Instances do: their masks are the whole objects, also
where others hide them, cut by the border of the image only. The i-th instance
of an image is its segment i; segments of stuff follow. Categories count from
1, objects before stuff.
"""
import json
from pathlib import Path
from typing import Dict, List, Sequence

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from .scene import Scene

PANOPTIC, INSTANCES = FOLDERS = ('panoptic', 'instances')
LISTS = ('train', 'val')


def list_of(part: str) -> str:
    """The one of :data:`LISTS` that holds the images of a part."""
    return 'val' if part == 'val' else 'train'


def write_segments(path: Path, scene: Scene, num_classes: int) -> dict:
    """Write the PNG of one image; what the JSON files say of it."""
    ids = np.where(scene.instances, scene.instances,
                   1 + len(scene.things) + scene.stuff)
    Image.fromarray(np.dstack([ids, 0 * ids, 0 * ids])).save(path)
    categories = [thing.label + 1 for thing in scene.things]
    categories += range(num_classes + 1, num_classes + 2 + scene.stuff.max())
    return dict(
        size=ids.shape,
        segments=[
            dict(_extent(ids == i), id=i, category_id=categories[i - 1])
            for i in np.unique(ids).tolist()
        ],
        instances=[
            dict(
                _extent(mask),
                category_id=category,
                segmentation=_run_lengths(mask))
            for mask, category in zip(scene.whole, categories)
        ])


def write_json(root: Path, name: str, records: Dict[str, dict],
               classes: Sequence[str], stuff: Sequence[str]) -> None:
    """Write both JSON files of the images of one list."""
    images = [
        dict(id=i, file_name=f'{name}.jpg', height=size[0], width=size[1])
        for i, (name, size) in enumerate(
            ((k, v['size']) for k, v in records.items()), start=1)
    ]
    categories = [
        dict(id=i, name=name, isthing=int(i <= len(classes)))
        for i, name in enumerate([*classes, *stuff], start=1)
    ]
    segments = [
        dict(image_id=i, file_name=f'{key}.png', segments_info=x['segments'])
        for i, (key, x) in enumerate(records.items(), start=1)
    ]
    instances: List[dict] = []
    for i, record in enumerate(records.values(), start=1):
        for instance in record['instances']:
            instances.append(dict(instance, id=len(instances) + 1, image_id=i))
    for folder, annotations in ((PANOPTIC, segments), (INSTANCES, instances)):
        known = len(categories if folder == PANOPTIC else classes)
        (root / folder / f'{name}.json').write_text(
            json.dumps(
                dict(
                    images=images,
                    annotations=annotations,
                    categories=categories[:known])))


def _extent(mask: np.ndarray) -> dict:
    return dict(
        bbox=[*cv2.boundingRect(mask.astype(np.uint8))],
        area=int(mask.sum()),
        iscrowd=0)


def _run_lengths(mask: np.ndarray) -> dict:
    runs = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=runs['size'], counts=runs['counts'].decode())
