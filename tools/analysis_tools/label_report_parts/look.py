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


class Look(NamedTuple):
    """What one look at an image gives."""
    #: by kind the objects, pixels or tags of each class, by position
    counts: Dict[str, Counter]
    findings: List[Finding]
    img_path: str = ''  #: of an image that can be read
    signs: Optional[np.ndarray] = None  #: see :func:`signs_of`


def look_at(source: Any, index: int, class_map: Optional[ClassMap]) -> Look:
    """Count and judge the labels of an image of a source."""
    info = source.get_data_info(index)
    tags = np.flatnonzero(np.equal(info.get('image_labels', ()), PRESENT))
    counts = {IMAGE_LABEL: Counter(tags)}
    if 'img_path' not in info:  # one of many images in a file
        return Look(counts, [])
    problems = check_sample(source, index)
    findings = [Finding('broken', 1, problem) for problem in problems]
    try:
        image, labels = load_labels(source, index)
    except Exception:  # libraries for images raise many types
        if problems:
            return Look(counts, findings)
        raise
    counts[BBOX] = Counter(label for _, label in labels.objects())
    findings += find_outside(info.get('instances', ()), labels)
    findings += find_bad_boxes(labels)
    if labels.seg_map is not None:
        pixels = np.bincount(labels.seg_map.ravel(), minlength=256)
        counts[SEM_SEG] = Counter(dict(enumerate(pixels[:IGNORE_INDEX])))
        findings += find_specks(labels)
    if class_map is not None:
        findings += find_disagreement(labels, class_map)
    return Look(counts, findings, info['img_path'], signs_of(image))


def load_labels(source: Any, index: int) -> Tuple[np.ndarray, Labels]:
    """A BGR image, and its boxes and mask; without boxes of no use."""
    info = dict(source.get_data_info(index), drop_bad_boxes=True)
    loader = next((x for x in source.pipeline.transforms
                   if isinstance(x, LoadImageFromFile)), LoadImageFromFile())
    kinds = [x for x in (BBOX, SEM_SEG) if x in source.annotation_kinds]
    loaded = LoadPartialAnnotations(loader.backend_args)(
        dict(loader(info), annotation_kinds=kinds))
    labels = Labels(loaded['ori_shape'][:2])
    if BBOX in kinds:
        labels = labels._replace(
            names=source.metainfo['classes'],
            boxes=loaded['gt_bboxes'].tensor.numpy(),
            labels=loaded['gt_bboxes_labels'],
            ignored=loaded['gt_ignore_flags'])
    if SEM_SEG in kinds:
        labels = labels._replace(seg_names=source.metainfo['seg_classes'],
                                 seg_map=loaded['gt_seg_map'])
    return loaded['img'].astype(np.uint8), labels
