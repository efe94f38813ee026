# Copyright (c) mmbombo contributors.
"""Divide COCO's images into some with boxes and some with masks.

    python tools/dataset_converters/coco_lists.py \\
        data/coco/annotations/instances_train2017.json --det 14655 --seg 14655

writes ``det_train.json`` and ``seg_train.json``, files of instances without
the polygons (so that they load fast) that have no image in common, to
``mmbombo`` beside the file.

The annotated images are ranked by the hash of the seed and their id, so the
lists depend on nothing else. Detection takes from the front of this order and
segmentation from its end: with one seed, a smaller list is a part of every
larger one. The paper's lists (two exclusive eighths of train2017, 14,655
images each) were not published; these are our reconstruction.
"""
import argparse
import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Dict, List, Sequence


def parse_args(args=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('instances', type=Path, help='instances_*.json')
    parser.add_argument(
        '--det',
        type=Fraction,
        default=Fraction(1, 8),
        help='images with boxes: a number, or a share of the annotated '
        'images such as 1/8 or 0.1 (default: 1/8)')
    parser.add_argument(
        '--seg',
        type=Fraction,
        default=Fraction(1, 8),
        help='images with masks (default: 1/8)')
    parser.add_argument(
        '--seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument(
        '--out', type=Path, help='folder (default: mmbombo beside the file)')
    return parser.parse_args(args)


if __name__ == '__main__':  # --help waits for no library
    parse_args()

from mmbombo.datasets.coco_json import read_coco_json
from mmbombo.datasets.errors import DatasetError
from mmbombo.utils import user_errors
from mmbombo.utils.atomic_write import atomic_write

#: What remains of images and annotations.
IMAGE_KEYS = ('id', 'file_name', 'height', 'width')
ANNOTATION_KEYS = ('id', 'image_id', 'category_id', 'bbox', 'area', 'iscrowd')


def rank(ids: Sequence[int], seed: int) -> List[int]:
    """Ids in an order that depends on the seed only."""
    return sorted(
        ids, key=lambda i: hashlib.sha256(f'{seed} {i}'.encode()).digest())


def divide(ids: Sequence[int], amounts: Dict[str, Fraction],
           seed: int) -> Dict[str, List[int]]:
    """Take the detection list from the front, the other from the end; sorted
    ids of 'det' and 'seg'. Amounts below 1 are shares, rounded down."""
    order = rank(ids, seed)
    det, seg = (
        int(amount if amount >= 1 else amount * len(order))
        for amount in (amounts['det'], amounts['seg']))
    if min(det, seg) < 1 or det + seg > len(order):
        raise DatasetError(
            f'--det and --seg ask for {det} + {seg} images; {len(order)} are '
            'annotated, each list needs one, and none may be in both')
    return dict(det=sorted(order[:det]), seg=sorted(order[len(order) - seg:]))


def read_named_images(path: Path) -> dict:
    """Read a file of instances whose images have names in their folder; of
    LVIS they have not."""
    content = read_coco_json(str(path))
    for image in content['images']:
        name = Path(image.get('file_name', ''))
        if not name.name or name.is_absolute() or '..' in name.parts:
            raise DatasetError(
                f'{path}: image {image["id"]} has the file_name '
                f'{image.get("file_name")!r}, where a path in the folder of '
                'the images is due')
    return content


def restrict(content: dict, ids: Sequence[int]) -> dict:
    """The file of instances of some images, without polygons."""
    wanted = set(ids)
    return dict(
        info=content.get('info', {}),
        licenses=content.get('licenses', []),
        images=[{
            k: image[k]
            for k in IMAGE_KEYS
        } for image in content['images'] if image['id'] in wanted],
        annotations=[{
            k: ann.get(k, 0)
            for k in ANNOTATION_KEYS
        } for ann in content['annotations'] if ann['image_id'] in wanted],
        categories=content['categories'])


@user_errors()
def main(args=None) -> None:
    args = parse_args(args)
    content = read_named_images(args.instances)
    annotated = {
        annotation['image_id']
        for annotation in content['annotations']
        if not annotation.get('iscrowd', 0)
    }
    lists = divide(
        sorted(annotated), dict(det=args.det, seg=args.seg), args.seed)
    out = args.out or args.instances.parent / 'mmbombo'
    for name, ids in lists.items():
        path = out / f'{name}_train.json'
        atomic_write(path, json.dumps(restrict(content, ids)).encode())
        print(f'{path}: {len(ids)} of {len(annotated)} annotated images')


if __name__ == '__main__':
    main()
