# Copyright (c) mmbombo contributors.
"""How often each class occurs in a list."""
import multiprocessing
from collections import Counter
from pathlib import Path
from typing import Dict

from mmengine.utils import track_iter_progress
from PIL import Image

from mmbombo.datasets.voc_metainfo import VOC_CLASSES
from mmbombo.datasets.voc_xml import parse_xml
from .devkit import Devkit, YearLists

#: Class -> name of a number -> the number.
Balance = Dict[str, Dict[str, int]]


def count_boxes(path: Path) -> Counter:
    """Objects of each class in a VOC annotation file, difficult ones too."""
    return Counter((node.findtext('name') or '').strip()
                   for node in parse_xml(str(path)).iter('object'))


def count_pixels(path: Path) -> Counter:
    """Pixels of each class in a mask."""
    with Image.open(path) as mask:
        histogram = mask.histogram()
    return Counter({
        name: pixels
        for name, pixels in zip(VOC_CLASSES, histogram[1:]) if pixels
    })


def measure_balance(devkit: Devkit, lists: YearLists, task: str) -> Balance:
    """``images`` of each class, and its ``objects`` (where ``task`` is
    'det') or ``pixels`` ('seg')."""
    count, unit = ((count_boxes, 'objects') if task == 'det' else
                   (count_pixels, 'pixels'))
    files = [
        devkit.root / year / 'Annotations' /
        f'{i}.xml' if task == 'det' else devkit.root / year /
        devkit.mask_folders[year] / f'{i}.png' for year, ids in lists.items()
        for i in ids
    ]
    images, amount = Counter(), Counter()
    with multiprocessing.Pool() as pool:
        found = pool.imap(count, files, chunksize=64)
        for counts in track_iter_progress((found, len(files))):
            images.update(counts.keys())
            amount.update(counts)
    return {
        name: {
            'images': images[name],
            unit: amount[name]
        }
        for name in VOC_CLASSES
    }
