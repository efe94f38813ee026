# Copyright (c) mmbombo contributors.
"""One look at an image and its labels: what is counted, and what is found."""
from collections import Counter
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from mmcv.transforms import LoadImageFromFile

from mmbombo.datasets.checks.every_file import check_sample
from mmbombo.datasets.transforms import LoadPartialAnnotations
from mmbombo.structures import (BBOX, IGNORE_INDEX, IMAGE_LABEL, SEM_SEG,
                                ClassMap)
from mmbombo.structures.image_labels import PRESENT
from .boxes import find_bad_boxes, find_outside
from .copies import signs_of
from .finding import Finding, Labels
from .masks import find_disagreement, find_specks

#: Objects, pixels or tags of each class, by position, by kind.
Counts = Dict[str, Counter]


class Look(NamedTuple):
    """What one look at an image gives."""
    counts: Counts
    findings: List[Finding]
    img_path: str = ''  #: of an image that can be read
    signs: Optional[np.ndarray] = None  #: see :func:`signs_of`


def look_at(source: Any, index: int, class_map: Optional[ClassMap]) -> Look:
    """Count and judge the labels of an image of a source."""
    info = dict(source.get_data_info(index), drop_bad_boxes=True)
    tags = Counter(
        np.flatnonzero(np.equal(info.get('image_labels', ()), PRESENT)))
    counts = {IMAGE_LABEL: tags}
    if 'img_path' not in info:  # one of many images in a file
        return Look(counts, [])
    problems = check_sample(source, index)
    findings = [Finding('broken', 1, problem) for problem in problems]
    try:
        image, labels = load_labels(source, info)
    except Exception:  # libraries for images raise many types
        if problems:
            return Look(counts, findings)
        raise
    counts.update(count(labels))
    findings += find_outside(info.get('instances', ()), labels)
    findings += find_bad_boxes(labels)
    if labels.seg_map is not None:
        findings += find_specks(labels)
    if class_map is not None:
        findings += find_disagreement(labels, class_map)
    return Look(counts, findings, info['img_path'], signs_of(image))


def load_labels(source: Any, info: dict) -> Tuple[np.ndarray, Labels]:
    """An image (H, W, 3), and its boxes and mask as a training has them."""
    loader = next((x for x in source.pipeline.transforms
                   if isinstance(x, LoadImageFromFile)), LoadImageFromFile())
    kinds = [x for x in (BBOX, SEM_SEG) if x in source.annotation_kinds]
    loaded = LoadPartialAnnotations(loader.backend_args)(
        dict(loader(info), annotation_kinds=kinds))
    metainfo, fields = source.metainfo, {}
    if BBOX in kinds:
        fields.update(
            names=metainfo['classes'],
            boxes=loaded['gt_bboxes'].tensor.numpy(),
            labels=loaded['gt_bboxes_labels'],
            ignored=loaded['gt_ignore_flags'])
    if SEM_SEG in kinds:
        fields.update(
            seg_names=metainfo['seg_classes'], seg_map=loaded['gt_seg_map'])
    return loaded['img'], Labels(loaded['ori_shape'][:2], **fields)


def count(labels: Labels) -> Counts:
    """Objects of boxes, and pixels of masks."""
    counts = {BBOX: Counter(label for _, label in labels.objects())}
    if labels.seg_map is not None:
        pixels = np.bincount(labels.seg_map.ravel(), minlength=256)
        present = np.flatnonzero(pixels[:IGNORE_INDEX])
        counts[SEM_SEG] = Counter(dict(zip(present, pixels[present])))
    return counts
