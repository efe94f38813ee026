# Copyright (c) mmbombo contributors.
from typing import List, Optional, Tuple

from mmbombo.structures import IGNORE_INDEX

VOC_CLASSES = ('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car',
               'cat', 'chair', 'cow', 'diningtable', 'dog', 'horse',
               'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train',
               'tvmonitor')
BACKGROUND = 'background'


def voc_palette(num_colors: int) -> List[Tuple[int, int, int]]:
    """RGB colors of Pascal VOC's map of 256, of which it uses the first 21.

    The bits of the index, three at a time, become the leading bits of red,
    green and blue.
    """
    palette = []
    for index in range(num_colors):
        color = [0, 0, 0]
        for group in range(3):
            bits = index >> (3 * group)
            for channel in range(3):
                color[channel] |= (bits >> channel & 1) << (7 - group)
        palette.append(tuple(color))
    return palette


def complete_metainfo(metainfo: Optional[dict]) -> dict:
    """Fill in what a VOC-layout set's ``metainfo`` leaves out.

    Without ``classes`` they are VOC's 20. Without ``seg_classes`` they are the
    background and the detection classes. Palettes are VOC's.
    """
    metainfo = dict(metainfo or {})
    classes = tuple(metainfo.get('classes', VOC_CLASSES))
    seg_classes = tuple(metainfo.get('seg_classes', (BACKGROUND, *classes)))
    metainfo.update(classes=classes, seg_classes=seg_classes)
    metainfo.setdefault('palette', voc_palette(len(classes) + 1)[1:])
    metainfo.setdefault('seg_palette', voc_palette(len(seg_classes)))
    metainfo['ignore_index'] = IGNORE_INDEX
    return metainfo
