# Copyright (c) mmbombo contributors.
"""Looking at masks: ids or colors in PNG files, Cityscapes' names."""
import os.path as osp
import sys
from collections import Counter
from typing import Dict, Optional, Sequence

import numpy as np
from mmengine.utils import track_iter_progress
from mmseg.datasets import CityscapesDataset

from mmbombo.datasets.errors import DatasetError
from mmbombo.datasets.image_size import open_image
from .boxes import is_labelme, look_at_labelme, subfolder
from .files import list_files, pair
from .found import Code, Found, wrap
from .mask_names import IGNORED, name_ids

#: More are a photograph, or a JPEG file's.
MAX_COLORS = 255
#: Cityscapes' ``labelIds`` of its 19 classes.
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
                  31, 32, 33)


def look_at_masks(name: str, place: str, images: Optional[str],
                  given: Optional[Sequence[str]]) -> Found:
    """Pair masks with images and read their ids, which may be named."""
    if is_labelme(place):
        return look_at_labelme(name, osp.normpath(place), 'sem_seg')
    root = subfolder(place, 'SegmentationClass')
    folder = images or find_folder(root)
    found = list_files(folder)
    pairs, image_end, mask_end = pair(found, list_files(root, '.png'))
    if not pairs:
        raise DatasetError(
            f'{root}: no PNG file is named as an image in {folder}; name the '
            'folder of the images with --mask-images')
    counts = count_ids([osp.join(root, mask) for mask in pairs.values()])
    colors = sorted(x for x in counts if isinstance(x, tuple))
    names = city_names(mask_end, counts) or name_ids(
        root, given, colors or sorted(set(counts) - {255}))
    if colors:
        order = sorted(colors, key=lambda x: names[x].lower() in IGNORED)
        names = {k: names[x] for k, x in enumerate(order)}
        counts = Counter({k: counts[x] for k, x in enumerate(order)})
    names = {x: names[x] for x in sorted({*names} - {255})}
    ignored = [x for x, title in names.items() if title.lower() in IGNORED]
    id_map = {x: title for x, title in names.items() if x not in ignored}
    classes: Counter = Counter()
    for number, title in id_map.items():
        classes[title] += counts[number]
    wrapped = dict(
        type='mmseg.BaseSegDataset',
        data_prefix=dict(img_path=folder, seg_map_path=root),
        img_suffix=image_end,
        seg_map_suffix=mask_end,
        metainfo=dict(classes=Code('seg_classes')))
    config = wrap('sem_seg', wrapped)
    if ignored:
        config['seg_ignore_ids'] = tuple(ignored)
    if colors:
        config['seg_colors'] = order
    result = Found(name, 'sem_seg', place,
                   {image: osp.join(folder, image)
                    for image in pairs}, config, classes, id_map)
    if len(pairs) < len(found):
        result.notes.append(f'{len(found) - len(pairs)} images in {folder} '
                            'without a mask are not used')
    return result


def find_folder(root: str) -> str:
    """A standard place of the images of masks."""
    parent = osp.dirname(root)
    for name in ('images', 'JPEGImages', 'leftImg8bit', 'img'):
        if osp.isdir(osp.join(parent, name)):
            return osp.join(parent, name)
    return root


def count_ids(paths: Sequence[str]) -> Counter:
    """In how many masks an id, or a color (r, g, b), occurs."""
    counts: Counter = Counter()
    for path in track_iter_progress(paths, file=sys.stderr):
        with open_image(path, 'mask') as image:
            if image.mode in ('L', 'P'):
                found = np.unique(np.asarray(image)).tolist()
            else:
                colors = image.convert('RGB').getcolors(MAX_COLORS)
                found = [color for _, color in colors or ()]
            counts.update(found)
            if not found:
                raise DatasetError(
                    f'{path}: a mask of mode {image.mode} with many values; '
                    'ids (gray or palette) or at most 255 colors are read')
    kinds = {type(x) for x in counts}
    if len(kinds) > 1:
        raise DatasetError(f'{osp.dirname(paths[0])}: some masks have colors, '
                           'some ids; give them as two --masks')
    return counts


def city_names(mask_end: str, counts: Counter) -> Optional[Dict[int, str]]:
    """Cityscapes' names of the ids, if the files are named as its are."""
    classes = CityscapesDataset.METAINFO['classes']
    if mask_end == '_gtFine_labelTrainIds.png':
        return dict(enumerate(classes))
    if mask_end == '_gtFine_labelIds.png':
        names = dict.fromkeys(counts, 'ignore')
        names.update(zip(CITYSCAPES_IDS, classes))
        return names
    return None
