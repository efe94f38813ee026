# Copyright (c) mmbombo contributors.
"""What counts as a valid ground-truth box.

Data sets list boxes as they stand in a file. They are judged when a sample is
loaded: only then the size of the image is known.
"""
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .checks.image_size_check import find_doubt
from .errors import DatasetError

#: How far, in pixels, a box may reach out of the image: annotation tools
#: round, and some count from 0 where VOC counts from 1.
OVERSHOOT = 1.0
#: Most boxes of an image: losses compare each with all priors. So many take
#: GFL 2 GB at 640 pixels, and MMDetection's RetinaNet 18.
MAX_BOXES = 5000


def fit_box(box: Sequence[float], width: int,
            height: int) -> Tuple[Optional[List[float]], Optional[str]]:
    """Clip a box that reaches out by at most :data:`OVERSHOOT`.

    Boxes are x1, y1, x2, y2 in pixels, where a box of one pixel has x2 = x1 +
    1. Gives the box and no complaint, or no box and what is wrong with it.
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    # `not <=` rather than `>`: a NaN is refused too.
    if not (x1 <= x2 and y1 <= y2):
        return None, 'is inverted'
    if (x1 < -OVERSHOOT or y1 < -OVERSHOOT or x2 > width + OVERSHOOT
            or y2 > height + OVERSHOOT):
        return None, f'is outside the {width}x{height} image'
    clipped = clip_box((x1, y1, x2, y2), width, height)
    if clipped is None:
        return None, 'is degenerate (no area)'
    return clipped, None


def clip_box(box: Sequence[float], width: int,
             height: int) -> Optional[List[float]]:
    """The part x1, y1, x2, y2 of a box that lies in its image, in pixels; None
    if it has no area."""
    x1, y1, x2, y2 = (min(max(float(value), 0.), limit)
                      for value, limit in zip(box, (width, height) * 2))
    # a NaN is no area either
    return [x1, y1, x2, y2] if x1 < x2 and y1 < y2 else None


def fit_instances(results: Dict[str, Any]) -> List[dict]:
    """The objects of an image, with their boxes inside it.

    ``results`` is what a source says of an image, and its ``ori_shape``; an
    object may bring a ``complaint`` of the reader. Bad boxes, and those that
    may be of an image of another size, are a ``DatasetError`` that names the
    file; with ``drop_bad_boxes`` bad ones are left out, unless they are most
    of several.
    """
    height, width = results['ori_shape'][:2]
    instances = results['instances']
    place = results.get('xml_path') or results['img_path']
    if len(instances) > MAX_BOXES:
        raise DatasetError(f'{place}: {len(instances)} boxes, more than '
                           f'{MAX_BOXES}; cut the image into tiles')
    doubt = find_doubt((results.get('height'), results.get('width')),
                       (height, width), [x['bbox'] for x in instances])
    if doubt:
        raise DatasetError(f'{place}: {doubt}')
    fitted, problems = [], []
    for instance in instances:
        box, complaint = fit_box(instance['bbox'], width, height)
        complaint = complaint or instance.get('complaint')
        if complaint:
            numbers = ', '.join(f'{x:g}' for x in instance['bbox'])
            problems.append(f'box [{numbers}] {complaint}')
        else:
            fitted.append(dict(instance, bbox=box))
    wrong_size = len(problems) > len(instances) / 2 and len(problems) > 1
    if problems and (wrong_size or not results.get('drop_bad_boxes')):
        raise DatasetError(
            f'{place}: {"; ".join(problems)}. Correct it; '
            'PartialAnnotationDataset leaves such boxes out with '
            '`drop_bad_boxes=True`')
    return fitted
