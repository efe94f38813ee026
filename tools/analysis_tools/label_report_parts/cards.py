# Copyright (c) mmbombo contributors.
"""Findings as cards of the page."""
from typing import Any, List, Sequence, Tuple

import cv2
import numpy as np
from page_parts.overlays import MAX_SIDE, jpeg, layer_panel
from page_parts.page import Box, Card, Panel

from mmbombo.visualization import MultiTaskLocalVisualizer
from mmbombo.visualization.layers import LabeledBox, Layer
from .finding import TYPES, Finding, Labels, Place
from .look import load_labels

#: Orange and blue of Okabe and Ito.
COLORS = dict(label='#e69f00', network='#56b4e9')
#: Least side of what a close-up shows, in pixels.
CLOSE = 48


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
                  image=jpeg(read(sources, finding.other)[0])))
    if marks:
        panels.append(close_up(image, marks))
    visualizer = MultiTaskLocalVisualizer(name='label_report')
    visualizer.dataset_meta = source.metainfo
    objects = [LabeledBox(tuple(x), label) for x, label in labels.objects()]
    panels.append(
        layer_panel('labels', image, Layer('', objects, labels.seg_map),
                    visualizer))
    title = TYPES[finding.type][0]
    return Card(
        f'{title}: {finding.text}', jpeg(image), (width, height), panels,
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
    """An RGB image and its labels; gray and none if it cannot be read."""
    source = sources[place[0]]
    info = dict(source.get_data_info(place[1]), drop_bad_boxes=True)
    try:
        image, labels = load_labels(source, info)
    except Exception:  # it is one of the findings
        image, labels = np.full((90, 120, 3), 90), Labels((90, 120))
    return image[..., ::-1].astype(np.uint8), labels


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
    scale = max(1, MAX_SIDE / max(crop.shape[:2]))
    crop = cv2.resize(crop, None, fx=scale, fy=scale,
                      interpolation=cv2.INTER_CUBIC)
    return Panel('close-up', boxes=boxes, image=jpeg(crop))
