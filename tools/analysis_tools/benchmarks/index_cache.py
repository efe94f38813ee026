# Copyright (c) mmbombo contributors.
"""The index of a large data set from its cache, against two seconds.

15,000 images in Pascal VOC's layout, and 29,000 (two eighths of COCO's) in a
file of instances, each with boxes and masks. The files are small, and images
and masks are links to one of each, so that reading them without a cache costs
less than with real ones.
"""
import json
import os
import time
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, List

import cv2
import numpy as np
from mmengine.dataset import BaseDataset

from mmbombo.datasets import PartialAnnotationDataset, PartialVOCDataset
from mmbombo.datasets.index_cache import SETTLED_NS
from mmbombo.testing import coco_categories
from .rows import Row, ratio_of, timed

VOC_IMAGES, COCO_IMAGES = 15_000, 29_000
#: As many as VOC's images and COCO's have on average.
VOC_OBJECTS, COCO_OBJECTS = 3, 7
BOTH = ('bbox', 'sem_seg')
GOAL_SECONDS = 2.
#: Loading is alike each time.
MAX_REPEATS = 5
XML_OBJECT = (
    '<object><name>{}</name><bndbox><xmin>5</xmin><ymin>9</ymin>'
    '<xmax>60</xmax><ymax>50</ymax></bndbox></object>')


def run(options: Namespace) -> List[Row]:
    """Load each without a cache, once, and then with it."""
    repeats = min(options.repeats, MAX_REPEATS)
    rows = []
    for name, write, load in (('voc', write_voc, load_voc),
                              ('coco', write_coco, load_coco)):
        with TemporaryDirectory() as folder:
            write(Path(folder))
            # of files that have just changed no index is kept
            time.sleep(2 * SETTLED_NS / 1e9)
            rows.append(compare(f'index_cache_{name}', Path(folder), load,
                                repeats))
    return rows


def compare(name: str, root: Path, load: Callable, repeats: int) -> Row:
    """Row of one data set."""
    first_ms, first = timed(load, root)
    warm_ms, found = zip(*(timed(load, root) for _ in range(repeats)))
    seconds = [spent / 1e3 for spent in warm_ms]
    ratio, spread = ratio_of(seconds, [1.] * repeats)
    return Row(
        name,
        ratio,
        GOAL_SECONDS,
        'at most',
        spread,
        'seconds to load the index from the cache',
        conditions={'same index': content_of(first) == content_of(found[-1])},
        figures={
            'images': len(first),
            'seconds without a cache': round(first_ms / 1e3, 2)
        },
        times=dict(load=list(warm_ms)))


def content_of(dataset: BaseDataset) -> List[dict]:
    """What a data set lists."""
    infos = map(dataset.get_data_info, range(len(dataset)))
    return [dict(info, seg_id_table=None) for info in infos]


def write_pictures(names: List[str], images: Path, masks: Path) -> None:
    """An image and a mask, and links to them under all names."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (80, 96, 3), dtype=np.uint8)
    for folder, suffix, picture in ((images, '.jpg', image),
                                    (masks, '.png', image[..., 0] % 3)):
        folder.mkdir(parents=True)
        first = str(folder / f'{names[0]}{suffix}')
        cv2.imwrite(first, picture)
        for name in names[1:]:
            os.link(first, folder / f'{name}{suffix}')


def write_voc(root: Path) -> None:
    """A tree in VOC's layout."""
    names = [f'{i:06d}' for i in range(VOC_IMAGES)]
    write_pictures(names, root / 'JPEGImages', root / 'SegmentationClass')
    (root / 'Annotations').mkdir()
    content = XML_OBJECT.format('cat') * VOC_OBJECTS
    for name in names:
        (root / 'Annotations' / f'{name}.xml').write_text(
            f'<annotation>{content}</annotation>')
    (root / 'train.txt').write_text('\n'.join(names))


def load_voc(root: Path) -> BaseDataset:
    """The tree as a source."""
    return PartialVOCDataset('train.txt', str(root), BOTH)


def write_coco(root: Path) -> None:
    """Images, maps and a file of instances."""
    names = [f'{i:012d}' for i in range(COCO_IMAGES)]
    write_pictures(names, root / 'images', root / 'maps')
    categories = coco_categories()
    images = [
        dict(id=i, file_name=f'{name}.jpg', height=80, width=96)
        for i, name in enumerate(names)
    ]
    annotations = [
        dict(
            id=i,
            image_id=i // COCO_OBJECTS,
            category_id=categories[i % len(categories)]['id'],
            bbox=[4.25, 8.5, 40.12, 30.63],
            area=800.5,
            iscrowd=0,
            segmentation=[[4.25, 8.5, 44.37, 8.5, 44.37, 39.13, 4.25, 39.13]])
        for i in range(COCO_OBJECTS * COCO_IMAGES)
    ]
    (root / 'instances.json').write_text(
        json.dumps(
            dict(
                images=images, annotations=annotations,
                categories=categories)))


def load_coco(root: Path) -> BaseDataset:
    """The file as a source."""
    classes = [category['name'] for category in coco_categories()]
    return PartialAnnotationDataset(
        dict(
            type='mmdet.CocoDataset',
            data_root=str(root),
            ann_file='instances.json',
            data_prefix=dict(img='images', seg='maps')),
        BOTH,
        metainfo=dict(seg_classes=['background', *classes]))
