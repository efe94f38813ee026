# Copyright (c) mmbombo contributors.
"""Specks in a mask, and where a mask and boxes contradict each other."""
from typing import Iterator

import cv2
import numpy as np
from mmdet.evaluation import bbox_overlaps

from mmbombo.structures import IGNORE_INDEX, ClassMap
from mmbombo.weak_labels import label_components
from .finding import Finding, Labels, Mark

#: Largest area of a speck, and least one of a mask that should have a box, in
#: areas of the image.
SPECK, SHOWN = 1e-4, 5e-4
#: IoU of a box and what the mask shows in it, below which they disagree.
AGREEING = .5
#: Slack around boxes in pixels: polygons and boxes are rounded differently.
SLACK = 2


def find_specks(labels: Labels) -> Iterator[Finding]:
    """The specks of a mask, of all classes but the background."""
    ids = [i for i, x in enumerate(labels.seg_names) if x != 'background']
    limit = SPECK * labels.seg_map.size
    table = label_components(labels.seg_map, limit, ids)[1]
    stray = table['ignored'] & ~table['pieces']
    if len(labels.boxes):  # a small object is none
        stray &= bbox_overlaps(table['boxes'],
                               labels.boxes).max(axis=1) < AGREEING
    if stray.any():
        areas = np.sort(table['areas'][stray])
        boxes = zip(table['boxes'][stray].tolist(), table['labels'][stray])
        yield Finding(
            'speck', float(((1 - areas / limit).clip(0)**2).sum()),
            f'{len(areas)} of {areas[0]:.0f} to {areas[-1]:.0f} pixels',
            tuple(Mark(tuple(x), labels.seg_names[i]) for x, i in boxes))


def find_disagreement(labels: Labels,
                      class_map: ClassMap) -> Iterator[Finding]:
    """Boxes that the mask does not bear out, and the reverse."""
    shows = np.zeros((IGNORE_INDEX + 1, class_map.num_det_classes), bool)
    shows[:class_map.num_seg_classes] = class_map.compatible.numpy()
    unboxed = labels.seg_map.copy()
    for box, ignored in zip(labels.boxes, labels.ignored):
        if ignored:
            _view(unboxed, box, SLACK)[:] = IGNORE_INDEX
    for box, label in labels.objects():
        view = _view(unboxed, box, SLACK)
        view[shows[view, label]] = IGNORE_INDEX
        inside = _view(labels.seg_map, box)
        # pixels without a label count for a box
        shown = shows[inside, label] | (inside == IGNORE_INDEX)
        width, height = cv2.boundingRect(shown.view(np.uint8))[2:]
        iou = width * height / inside.size
        if iou < AGREEING and label not in class_map.det_only:
            mark = labels.mark(box, label)
            yield Finding('box_mask', 1 - iou, f'{mark.text}, IoU {iou:.2f}',
                          (mark, ))
    table = label_components(unboxed, 0, class_map.thing_ids)[1]
    for box, area, label in zip(table['boxes'].tolist(), table['areas'],
                                table['labels']):
        if area >= SHOWN * unboxed.size:
            name = labels.seg_names[label]
            yield Finding('mask_box', float(area / unboxed.size),
                          f'{name}, {area:.0f} pixels',
                          (Mark(tuple(box), name), ))


def _view(seg_map: np.ndarray, box: np.ndarray, slack: int = 0) -> np.ndarray:
    """The part of a map in a box."""
    x1, y1 = np.floor(box[:2] - slack).clip(0).astype(int)
    x2, y2 = np.ceil(box[2:] + slack).astype(int)
    return seg_map[y1:y2, x1:x2]
