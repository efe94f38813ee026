# Copyright (c) mmbombo contributors.
"""Draw semantic maps of the 80 classes from COCO's instances.

    python tools/dataset_converters/coco_semantic.py \\
        data/coco/annotations/instances_val2017.json data/coco/semantic/val2017

writes one PNG per image, named as the image: 0 is the background, 1 to 80 are
the classes in the order of their category ids, 255 is ignored. Where objects
overlap, the one with fewer pixels is on top, because the large one is mostly
behind it. Crowd regions are ignored, below all objects. Maps that are there
already are kept, so an interrupted run continues.
"""
import argparse
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image


def parse_args(args=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('instances', type=Path, help='instances_*.json')
    parser.add_argument('out', type=Path, help='folder of the maps')
    parser.add_argument(
        '--only',
        type=Path,
        nargs='+',
        metavar='JSON',
        help='draw only the images of these files (of coco_lists.py)')
    parser.add_argument(
        '--any-classes',
        action='store_true',
        help='take the categories of the file in place of the 80 of COCO')
    parser.add_argument(
        '--jobs',
        type=int,
        default=os.cpu_count(),
        help='processes (default: all cores)')
    return parser.parse_args(args)


if __name__ == '__main__':  # --help waits for no library
    parse_args()

from coco_lists import read_named_images
from pycocotools import mask as mask_utils

from mmbombo.datasets.checks.coco_shapes import check_shape
from mmbombo.datasets.coco_json import (MAP_RECORD, category_names,
                                        check_category_names)
from mmbombo.datasets.errors import DatasetError
from mmbombo.datasets.voc_metainfo import voc_palette
from mmbombo.structures import IGNORE_INDEX
from mmbombo.utils import user_errors
from mmbombo.utils.atomic_write import atomic_file, atomic_write, file_sha256
from mmbombo.utils.processes import in_processes

#: A map to draw: its file, (height, width) in pixels, and the annotations with
#: their class ids, 255 for crowd regions.
Drawing = Tuple[Path, Tuple[int, int], List[Tuple[dict, int]]]
#: To be raised whenever maps come to be drawn differently.
FORMAT_VERSION = 1
PALETTE = sum(map(list, voc_palette(256)), [])


def to_rle(annotation: dict, size: Tuple[int, int]) -> Optional[dict]:
    """The mask of an annotation in pycocotools' run-length code, for an image
    of a size (height, width); None if no polygon has three corners.

    ``DatasetError`` names the annotation, if its segmentation is missing or of
    another size, of which pycocotools would read a part.
    """
    shape = annotation.get('segmentation')
    check_shape(annotation, size=size)
    if isinstance(shape, list):
        # pycocotools would take four numbers for a box
        polygons = [polygon for polygon in shape if len(polygon) >= 6]
        return mask_utils.merge(mask_utils.frPyObjects(
            polygons, *size)) if polygons else None
    if not isinstance(shape, dict) or list(shape.get('size',
                                                     ())) != list(size):
        raise DatasetError(
            f'annotation {annotation["id"]}: its segmentation must be '
            f'polygons, or run lengths of the size {list(size)} (height, '
            'width) of its image')
    if isinstance(shape['counts'], list):
        return mask_utils.frPyObjects(shape, *size)
    return shape


def draw_map(size: Tuple[int, int],
             objects: Sequence[Tuple[dict, int]]) -> np.ndarray:
    """Draw the map of an image, uint8 ``(H, W)``; 255 is drawn first."""
    codes = [(to_rle(annotation, size), annotation['id'], class_id)
             for annotation, class_id in objects]
    layers = [(class_id != IGNORE_INDEX, -int(mask_utils.area(code)), number,
               class_id, code) for code, number, class_id in codes
              if code is not None]
    ids = np.zeros(size, dtype=np.uint8)
    for *_, class_id, code in sorted(layers, key=lambda layer: layer[:3]):
        ids[mask_utils.decode(code) > 0] = class_id
    return ids


def write_map(drawing: Drawing) -> None:
    """Draw a map and write it; the file appears when it is complete."""
    path, size, objects = drawing
    image = Image.fromarray(draw_map(size, objects))
    image.putpalette(PALETTE)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as unfinished:
        image.save(unfinished, format='PNG')


def list_drawings(content: dict, out: Path) -> Iterator[Drawing]:
    """The maps that are not there yet, image by image."""
    names = category_names(content)
    if len(names) >= IGNORE_INDEX:
        raise DatasetError(f'{len(names)} categories: a map has room for '
                           f'{IGNORE_INDEX - 1} beside the background')
    class_ids = {
        category['id']: 1 + names.index(category['name'])
        for category in content['categories']
    }
    objects: Dict[int, list] = defaultdict(list)
    for annotation in content['annotations']:
        crowd = annotation.get('iscrowd', 0)
        class_id = class_ids[annotation['category_id']]
        objects[annotation['image_id']].append(
            (annotation, IGNORE_INDEX if crowd else class_id))
    for image in content['images']:
        path = out / Path(image['file_name']).with_suffix('.png')
        if not path.exists():
            yield (path, (image['height'], image['width']),
                   objects[image['id']])


def keep_images(content: dict, lists: Sequence[Path]) -> None:
    """Leave out the images that no list (a file of instances) has."""
    wanted = {
        image['file_name']
        for path in lists
        for image in read_named_images(path)['images']
    }
    content['images'] = [
        image for image in content['images'] if image['file_name'] in wanted
    ]
    missing = len(wanted) - len(content['images'])
    if missing:
        raise DatasetError(f'{missing} images of --only are not in the '
                           'instances')


def write_record(out: Path, record: dict) -> None:
    """Say what the maps are drawn from, and refuse to mix two files' maps."""
    path = out / MAP_RECORD
    text = json.dumps(record, indent=1) + '\n'
    there = path.read_text() if path.exists() else ''
    if there != text and (there or any(out.rglob('*.png'))):
        raise DatasetError(f'{out} holds maps of another file or version '
                           f'(see {path}): remove it, or choose another '
                           'folder')
    atomic_write(path, text.encode())


@user_errors()
def main(args=None) -> None:
    args = parse_args(args)
    # not before mmbombo, which may have to bring MMCV's operators
    from mmdet.datasets import CocoDataset
    content = read_named_images(args.instances)
    if not args.any_classes:
        check_category_names(
            content, str(args.instances), CocoDataset.METAINFO['classes'],
            'Draw the categories that it has with --any-classes')
    write_record(
        args.out,
        dict(
            version=FORMAT_VERSION,
            instances=args.instances.name,
            sha256=file_sha256(args.instances),
            classes=['background', *category_names(content)]))
    if args.only:
        keep_images(content, args.only)
    total = len(content['images'])
    drawings = list(list_drawings(content, args.out))
    print(f'{args.out}: {total - len(drawings)} of {total} maps are there')
    if drawings:
        list(in_processes(write_map, drawings, args.jobs, chunk=8))


if __name__ == '__main__':
    main()
