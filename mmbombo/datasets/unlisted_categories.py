# Copyright (c) mmbombo contributors.
"""Objects of categories that the config's classes leave out.

To the detector they are background, as in MMDetection: a category that is not
asked for is no class. What their pixels are in masks is another question. A
mask may show a bus that no box is asked for as ``vehicle``, as background, or
ignore it; so a mask that is made from boxes ignores them, as it does crowd
regions, unless the config says that they are background.
"""
from typing import Any, Dict, List

from mmbombo.structures import UNLISTED_LABEL
from .boxes import clip_box

#: What objects of unlisted categories may be to weak masks.
IGNORE, BACKGROUND = CHOICES = ('ignore', 'background')
#: Key of an image's information that holds their boxes, x1, y1, x2, y2.
UNLISTED_KEY = 'unlisted_boxes'


def split_unlisted(instances: List[dict]) -> Dict[str, List]:
    """Part objects of classes (``instances``) from those that are left out,
    :data:`UNLISTED_LABEL` (``unlisted_boxes``, if there are any)."""
    kept = [x for x in instances if x['bbox_label'] != UNLISTED_LABEL]
    boxes = [x['bbox'] for x in instances if x['bbox_label'] == UNLISTED_LABEL]
    return {'instances': kept, **({UNLISTED_KEY: boxes} if boxes else {})}


def unlisted_instances(results: Dict[str, Any]) -> List[dict]:
    """The unlisted objects of an image, as far as they show, to be ignored.

    These boxes are not judged: they say where nothing is known, and what of
    them lies outside the image, or has no area, says nothing.
    """
    if UNLISTED_KEY not in results:
        return []
    height, width = results['ori_shape'][:2]
    boxes = (clip_box(box, width, height) for box in results[UNLISTED_KEY])
    return [
        dict(bbox=box, bbox_label=UNLISTED_LABEL, ignore_flag=1)
        for box in boxes if box is not None
    ]
