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
    source, path = name_of(sources, finding.place)
    image, labels = read(sources, finding.place)
    marks = [Box(x.box, COLORS[x.by], x.text * (i == 0), x.by != 'label')
             for i, x in enumerate(finding.marks)]
    panels = [Panel('finding', boxes=marks)]
    if finding.other:
        panels.append(
            Panel('other', ': '.join(name_of(sources, finding.other)),
                  image=jpeg(read(sources, finding.other)[0])))
    if marks:
        panels.append(close_up(image, marks))
    visualizer = MultiTaskLocalVisualizer(name='label_report')
    visualizer.dataset_meta = sources[finding.place[0]].metainfo
    boxes = [LabeledBox(tuple(x), label) for x, label in labels.objects()]
    panels.append(layer_panel(
        'labels', image, Layer('', boxes, labels.seg_map), visualizer))
    title = TYPES[finding.type][0]
    tags = {'kind': [title], 'source': [source],
            'class': sorted({x.text for x in finding.marks})}
    facts = dict(source=source, file=path, place=f'{rank} of {total}')
    return Card(f'{title}: {finding.text}', jpeg(image), labels.shape[::-1],
                panels, -rank, facts, tags)


def name_of(sources: Sequence[Any], place: Place) -> Tuple[str, str]:
    """Source and file of an image."""
    source = sources[place[0]]
    return source.source, source.get_data_info(place[1])['img_path']


def read(sources: Sequence[Any], place: Place) -> Tuple[np.ndarray, Labels]:
    """An RGB image and its labels; gray and none if it cannot be read."""
    try:
        image, labels = load_labels(sources[place[0]], place[1])
    except Exception:  # it is one of the findings
        return np.full((90, 120, 3), 90, np.uint8), Labels((90, 120))
    return image[..., ::-1], labels


def close_up(image: np.ndarray, marks: List[Box]) -> Panel:
    """The first of the boxes that are marked, in twice its size."""
    shape = np.array(image.shape[1::-1])
    low, high = np.array(marks[0].xyxy).reshape(2, 2)
    share = min(1, max(*(2 * (high - low) / shape), CLOSE / shape.max()))
    width, height = size = np.ceil(shape * share).astype(int)
    x, y = start = ((low + high - size) / 2).clip(0, shape - size).astype(int)
    crop = image[y:y + height, x:x + width]
    scale = max(1, MAX_SIDE / size.max())
    crop = cv2.resize(crop, None, fx=scale, fy=scale,
                      interpolation=cv2.INTER_CUBIC)
    move = np.tile(start, 2), np.tile(shape / size, 2)
    return Panel('close-up', image=jpeg(crop), boxes=[
        x._replace(xyxy=(np.array(x.xyxy) - move[0]) * move[1]) for x in marks
    ])
