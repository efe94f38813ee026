# Copyright (c) mmbombo contributors.
"""How often each class occurs in a list."""
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, List

from mmengine.utils import ProgressBar
from PIL import Image

from mmbombo.datasets.errors import DatasetError
from mmbombo.datasets.voc_metainfo import VOC_CLASSES
from mmbombo.datasets.voc_xml import parse_xml
from .devkit import Devkit, YearLists

NUM_THREADS = 16

#: Class -> name of a number -> the number.
Balance = Dict[str, Dict[str, int]]


def count_boxes(path: Path) -> Counter:
    """Objects of each class in a VOC annotation file, difficult ones too.

    Raises:
        DatasetError: If the file is missing or no such file.
    """
    if not path.is_file():
        raise DatasetError(f'{path} is missing')
    return Counter((node.findtext('name') or '').strip()
                   for node in parse_xml(str(path)).iter('object'))


def count_pixels(path: Path) -> Counter:
    """Pixels of each class in a mask.

    Raises:
        DatasetError: If the file is missing or no image.
    """
    try:
        with Image.open(path) as mask:
            histogram = mask.histogram()
    except (OSError, SyntaxError) as error:
        raise DatasetError(f'{path}: {error}') from error
    return Counter({
        name: pixels
        for name, pixels in zip(VOC_CLASSES, histogram[1:]) if pixels
    })


def measure_balance(devkit: Devkit, lists: YearLists, task: str) -> Balance:
    """Count classes over a list.

    Args:
        devkit (Devkit): The data.
        lists (dict): Image ids by year.
        task (str): 'det' reads boxes, 'seg' masks.

    Returns:
        dict: ``images`` of each class, and its ``objects`` or ``pixels``.
    """
    count, unit = ((count_boxes, 'objects') if task == 'det' else
                   (count_pixels, 'pixels'))
    files = _files(devkit, lists, task)
    images, amount = Counter(), Counter()
    bar = ProgressBar(len(files))
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for found in pool.map(count, files):
            images.update(found.keys())
            amount.update(found)
            bar.update()
    print()
    return {
        name: {
            'images': images[name],
            unit: amount[name]
        }
        for name in VOC_CLASSES
    }


def _files(devkit: Devkit, lists: YearLists, task: str) -> List[Path]:
    return [
        devkit.root / year / 'Annotations' / f'{i}.xml' if task == 'det' else
        devkit.root / year / devkit.mask_folders[year] / f'{i}.png'
        for year, ids in lists.items() for i in ids
    ]
