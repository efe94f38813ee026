# Copyright (c) mmbombo contributors.
"""Findings as cards of the page."""
from typing import Any, List, Sequence, Tuple

import cv2
import numpy as np
from page_parts.overlays import css, jpeg, map_png
from page_parts.page import Box, Card, Panel

from mmbombo.visualization import class_styles
from .finding import TYPES, Finding, Labels, Place
from .look import load_labels

#: Orange and blue of Okabe and Ito.
COLORS = dict(label='#e69f00', network='#56b4e9')
#: Longer side of pictures; least one of what a close-up shows, in pixels.
SIDE, CLOSE = 448, 48


def make_card(finding: Finding, rank: int, total: int,
              sources: Sequence[Any]) -> Card:
    """A card of a finding, the ``rank``-th of all of its type."""
    source = sources[finding.place[0]]
    image, labels = read(sources, finding.place)
    height, width = labels.shape
    marks = [
        Box(x.box, COLORS[x.by], x.text * (i == 0), x.by != 'label')
        for i, x in enumerate(finding.marks)
    ]
    panels = [Panel('finding', boxes=marks)]
    if finding.other:
        panels.append(
            Panel('other',
                  f'{sources[finding.other[0]].source}: '
                  f'{path_of(sources, finding.other)}',
                  image=small(read(sources, finding.other)[0])))
    if marks:
        panels.append(close_up(image, marks))
    styles, seg_styles = class_styles(source.metainfo)
    boxes = [
        Box(box.tolist(), css(styles[label].color), labels.names[label])
        for box, label in labels.objects()
    ]
    mask = None
    if labels.seg_map is not None:
        mask = map_png(
            shrink(labels.seg_map, cv2.INTER_NEAREST), seg_styles, next(
                (i for i, x in enumerate(seg_styles)
                 if x.name == 'background'), None))
    panels.append(Panel('labels', boxes=boxes, mask=mask))
    title = TYPES[finding.type][0]
    return Card(
        f'{title}: {finding.text}', small(image), (width, height), panels,
        -rank, {
            'file': path_of(sources, finding.place),
            'of its kind': f'{rank} of {total}'
        },
        dict(kind=[title], source=[source.source],
             **{'class': sorted({x.text for x in finding.marks})}))


def path_of(sources: Sequence[Any], place: Place) -> str:
    """The file of an image."""
    number, index = place
    return sources[number].get_data_info(index)['img_path']


def read(sources: Sequence[Any], place: Place) -> Tuple[np.ndarray, Labels]:
    """An image (H, W, 3) and its labels; gray and none if it cannot be."""
    source = sources[place[0]]
    info = dict(source.get_data_info(place[1]), drop_bad_boxes=True)
    try:
        return load_labels(source, info)
    except Exception:  # it is one of the findings
        gray = np.full((SIDE * 3 // 4, SIDE, 3), 90, np.uint8)
        return gray, Labels(gray.shape[:2])


def shrink(image: np.ndarray, interpolation: int) -> np.ndarray:
    """An image whose longer side is at most :data:`SIDE`."""
    scale = min(1, SIDE / max(image.shape[:2]))
    size = [max(1, round(scale * x)) for x in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=interpolation)


def small(image: np.ndarray) -> bytes:
    """A file of a BGR image."""
    return jpeg(shrink(image, cv2.INTER_AREA)[..., ::-1])


def close_up(image: np.ndarray, marks: List[Box]) -> Panel:
    """The first of the boxes that are marked, twice as wide."""
    shape = np.array(image.shape[1::-1], float)
    low, high = np.array(marks[0].xyxy).reshape(2, 2)
    share = max(*(2 * (high - low) / shape), CLOSE / shape.max())
    size = np.ceil(shape * min(1, share)).clip(1, shape)
    start = ((low + high - size) / 2).clip(0, shape - size).astype(int)
    x, y = start
    width, height = size.astype(int)
    crop = image[y:y + height, x:x + width]
    zoom = shape / (width, height)
    boxes = [
        mark._replace(xyxy=((np.array(mark.xyxy).reshape(2, 2) - start) *
                            zoom).ravel()) for mark in marks
    ]
    scale = SIDE / max(crop.shape[:2])
    interpolation = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    crop = cv2.resize(crop, None, fx=scale, fy=scale,
                      interpolation=interpolation)
    return Panel('close-up', boxes=boxes, image=jpeg(crop[..., ::-1]))
