# Copyright (c) mmbombo contributors.
"""Looking at tags: lines ``file,label;label`` of a CSV file."""
import csv
import os.path as osp
from collections import Counter
from typing import Optional

from .files import find_images
from .found import METAINFO, Found


def look_at_tags(name: str, place: str, images: Optional[str]) -> Found:
    """Read which images have which tags."""
    with open(place, newline='', encoding='utf-8-sig') as file:
        rows = [row for row in csv.reader(file) if row]
    rows = [row for row in rows if row[0] != 'file']
    root = osp.dirname(place)
    folder = find_images(images, [osp.join(root, 'images'), root or '.'],
                         [row[0].strip() for row in rows], '--tag-images')
    counts = Counter(x.strip() for row in rows
                     for x in ';'.join(row[1:]).split(';') if x.strip())
    return Found(
        name, 'image_label', place,
        {row[0].strip(): osp.join(folder, row[0].strip())
         for row in rows},
        dict(
            type='ImageLabelDataset',
            ann_file=place,
            data_prefix=dict(img_path=folder),
            metainfo=METAINFO), Counter({x: counts[x]
                                         for x in sorted(counts)}))
