# Copyright (c) mmbombo contributors.
"""Objects of categories that the config's classes leave out.

To the detector they are background, as in MMDetection: a category that is not
asked for is no class. What their pixels are in masks is another question. A
mask may show a bus that no box is asked for as ``vehicle``, as background, or
ignore it; so a mask that is made from boxes ignores them, as it does crowd
regions, unless the config says that they are background.
"""
from collections import Counter
from typing import Any, Collection, Dict, List, Optional

from mmbombo.structures import UNLISTED_LABEL
from .boxes import clip_box

#: What objects of unlisted categories may be to weak masks.
IGNORE, BACKGROUND = CHOICES = ('ignore', 'background')
#: Key of an image's information that holds their boxes, x1, y1, x2, y2.
UNLISTED_KEY = 'unlisted_boxes'


def count_unlisted(content: Dict[str, Any],
                   asked: Collection[int]) -> Dict[str, int]:
    """Count the annotations of unlisted categories.

    Args:
        content (dict): What ``read_coco_json`` returns.
        asked (Collection[int]): Ids of the categories that are classes.

    Returns:
        dict[str, int]: Name of each category that has any, to their number.
    """
    names = {x['id']: x['name'] for x in content['categories']}
    return dict(
        Counter(names[annotation['category_id']]
                for annotation in content['annotations']
                if annotation['category_id'] not in asked))


def add_unlisted_boxes(data_list: List[dict], image_ids: List[Any],
                       content: Dict[str, Any],
                       asked: Collection[int]) -> None:
    """Give images the boxes of their unlisted objects, as far as they show.

    These boxes are not judged: they say where nothing is known, and what of
    them lies outside the image, or has no area, says nothing.

    Args:
        data_list (list[dict]): Images, each with ``height`` and ``width``.
        image_ids (list): The id of each in the file.
        content (dict): What ``read_coco_json`` returns.
        asked (Collection[int]): Ids of the categories that are classes.
    """
    infos = dict(zip(image_ids, data_list))
    for annotation in content['annotations']:
        info = infos.get(annotation['image_id'])
        if info is None or annotation['category_id'] in asked:
            continue
        x, y, width, height = annotation['bbox']
        box = clip_box((x, y, x + width, y + height), info['width'],
                       info['height'])
        if box is not None:
            info.setdefault(UNLISTED_KEY, []).append(box)


def split_unlisted(instances: List[dict]) -> Dict[str, List]:
    """Part objects of classes from those that are left out.

    Args:
        instances (list[dict]): Objects; of those that are left out
            ``bbox_label`` is :data:`UNLISTED_LABEL`.

    Returns:
        dict: ``instances``, the objects of classes, and, if there are any,
        ``unlisted_boxes``.
    """
    kept = [x for x in instances if x['bbox_label'] != UNLISTED_LABEL]
    boxes = [x['bbox'] for x in instances if x['bbox_label'] == UNLISTED_LABEL]
    return {'instances': kept, **({UNLISTED_KEY: boxes} if boxes else {})}


def unlisted_instances(data_info: Dict[str, Any]) -> List[dict]:
    """The unlisted objects of an image, as an image lists its objects.

    Args:
        data_info (dict): What a source says of an image.

    Returns:
        list[dict]: Objects that are ignored, :data:`UNLISTED_LABEL` of each.
    """
    boxes: Optional[List] = data_info.get(UNLISTED_KEY)
    return [
        dict(bbox=box, bbox_label=UNLISTED_LABEL, ignore_flag=1)
        for box in boxes or ()
    ]
