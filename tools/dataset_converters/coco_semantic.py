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
import multiprocessing
import sys
from collections import defaultdict
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from coco_lists import read_named_images
from jobs_option import add_jobs_option
from mmdet.datasets import CocoDataset
from mmengine.utils import ProgressBar
from PIL import Image
from pycocotools import mask as mask_utils

from mmbombo.datasets.coco_json import (MAP_RECORD, category_names,
                                        check_category_names)
from mmbombo.datasets.errors import DatasetError
from mmbombo.datasets.voc_metainfo import voc_palette
from mmbombo.structures import IGNORE_INDEX
from mmbombo.utils.atomic_write import (UNFINISHED, atomic_file, atomic_write,
                                        file_sha256)

#: To be raised whenever maps come to be drawn differently.
FORMAT_VERSION = 1
PALETTE = sum(map(list, voc_palette(256)), [])


class Drawing(NamedTuple):
    """One map to draw.

    Attributes:
        path (str): File to write.
        size (tuple[int, int]): Height and width in pixels.
        objects (list[tuple[dict, int]]): Annotations and their class ids,
            255 for crowd regions.
    """
    path: str
    size: Tuple[int, int]
    objects: List[Tuple[dict, int]]


def to_rle(annotation: dict, size: Tuple[int, int]) -> Optional[dict]:
    """The mask of an annotation in pycocotools' run-length code.

    Args:
        annotation (dict): Annotation with polygons, or run lengths that are
            compressed or not.
        size (tuple[int, int]): Height and width of the image in pixels.

    Returns:
        dict | None: The code; None if no polygon has three corners.

    Raises:
        DatasetError: Naming the annotation, if its segmentation is missing
            or of another size.
    """
    shape = annotation.get('segmentation')
    place = f'annotation {annotation["id"]}'
    if isinstance(shape, dict):
        _check_run_lengths(shape, size, place)
        if isinstance(shape['counts'], list):
            shape = mask_utils.frPyObjects(shape, *size)
        return shape
    if not isinstance(shape, list):
        raise DatasetError(f'{place}: its segmentation {shape!r} is neither '
                           'polygons nor run lengths')
    # pycocotools would take four numbers for a box.
    polygons = [polygon for polygon in shape if len(polygon) >= 6]
    if not polygons:
        return None
    return mask_utils.merge(mask_utils.frPyObjects(polygons, *size))


def _check_run_lengths(code: dict, size: Tuple[int, int], place: str) -> None:
    """Run lengths of another size would be read as far as they go."""
    if 'counts' not in code or list(code.get('size', ())) != list(size):
        raise DatasetError(
            f'{place}: its segmentation has the size {code.get("size")}, its '
            f'image has {list(size)} (height, width)')
    counts = code['counts']
    if isinstance(counts, list) and sum(counts) != size[0] * size[1]:
        raise DatasetError(
            f'{place}: the run lengths of its segmentation sum up to '
            f'{sum(counts)} of {size[0] * size[1]} pixels')


def draw_map(size: Tuple[int, int],
             objects: Sequence[Tuple[dict, int]]) -> np.ndarray:
    """Draw the map of an image.

    Args:
        size (tuple[int, int]): Height and width in pixels.
        objects (Sequence[tuple[dict, int]]): Annotations and class ids; 255
            is drawn first.

    Returns:
        np.ndarray: uint8 ``(H, W)``.
    """
    codes = [(to_rle(annotation, size), annotation['id'], class_id)
             for annotation, class_id in objects]
    layers = [(class_id != IGNORE_INDEX, -int(mask_utils.area(code)), number,
               class_id, code) for code, number, class_id in codes
              if code is not None]
    ids = np.zeros(size, dtype=np.uint8)
    for *_, class_id, code in sorted(layers, key=lambda layer: layer[:3]):
        ids[mask_utils.decode(code) > 0] = class_id
    return ids


def write_map(drawing: Drawing) -> Optional[str]:
    """Draw a map and write it; the file appears when it is complete.

    Args:
        drawing (Drawing): What to draw.

    Returns:
        str | None: What is wrong with an annotation, if anything is.
    """
    try:
        image = Image.fromarray(draw_map(drawing.size, drawing.objects))
    except DatasetError as error:
        return f'{error} ({Path(drawing.path).stem})'
    image.putpalette(PALETTE)
    path = Path(drawing.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as unfinished:
        image.save(unfinished, format='PNG')
    return None


def list_drawings(content: dict, out: Path) -> Iterator[Drawing]:
    """The maps that are not there yet, image by image."""
    names = category_names(content)
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
            yield Drawing(
                str(path), (image['height'], image['width']),
                objects[image['id']])


def keep_images(content: dict, lists: Sequence[Path]) -> None:
    """Leave out the images that no list (a file of instances) has."""
    wanted = {
        image['file_name']
        for path in lists
        for image in read_named_images(path)['images']
    }
    unknown = wanted - {image['file_name'] for image in content['images']}
    if unknown:
        raise DatasetError(f'{len(unknown)} images of --only, such as '
                           f'{min(unknown)}, are not in the instances')
    content['images'] = [
        image for image in content['images'] if image['file_name'] in wanted
    ]


def check_record(out: Path, record: dict) -> None:
    """Refuse to mix maps of two files in one folder.

    Args:
        out (Path): Folder of the maps; made if need be.
        record (dict): What the maps are drawn from.

    Raises:
        DatasetError: If the folder has maps of something else.
    """
    path = out / MAP_RECORD
    if path.exists():
        try:
            same = json.loads(path.read_text(encoding='utf-8')) == record
        except ValueError:
            same = False
        if not same:
            raise DatasetError(f'{out} holds maps of another file or version '
                               f'(see {path}): remove it, or choose another '
                               'folder')
    elif out.is_dir() and any(out.rglob('*.png')):
        raise DatasetError(f'{out} holds PNG files, but no {MAP_RECORD} of '
                           'this tool: choose another folder')
    atomic_write(path, (json.dumps(record, indent=1) + '\n').encode())
    for unfinished in out.rglob(f'.*{UNFINISHED}'):
        unfinished.unlink()  # of a run that was killed


def parse_args() -> argparse.Namespace:
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
    add_jobs_option(parser)
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    content = read_named_images(args.instances)
    if not args.any_classes:
        check_category_names(
            content, str(args.instances), CocoDataset.METAINFO['classes'],
            'Draw the categories that it has with --any-classes')
    check_record(
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
    if not drawings:
        return
    bar = ProgressBar(len(drawings))
    with multiprocessing.get_context('fork').Pool(args.jobs) as pool:
        for problem in pool.imap_unordered(write_map, drawings, chunksize=8):
            if problem:
                raise DatasetError(f'{args.instances}: {problem}')
            bar.update()
    print(f'\n{len(drawings)} maps drawn in {args.out}')


def main() -> None:
    try:
        run(parse_args())
    except DatasetError as error:
        sys.exit(f'DatasetError: {error}')


if __name__ == '__main__':
    main()
