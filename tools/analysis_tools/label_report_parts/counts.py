# Copyright (c) mmbombo contributors.
"""What there is of each source, kind and class, and what is not."""
from collections import Counter
from typing import Any, Dict, List, Optional, Sequence

from mmbombo.structures import (BBOX, IMAGE_LABEL, SEM_SEG, ClassMap,
                                annotation_kind)
from .look import Look

#: What is counted of a kind.
UNITS = {BBOX: 'boxes', SEM_SEG: 'pixels', IMAGE_LABEL: 'tags'}


def count_source(source: Any, looks: Sequence[Look]) -> Dict[str, dict]:
    """By kind and name of a class the number of boxes, pixels or tags."""
    counts = {}
    for kind in UNITS:
        if kind in source.annotation_kinds:
            total: Counter = Counter()
            for look in looks:
                total.update(look.counts.get(kind, {}))
            names = source.metainfo[annotation_kind(kind).classes_key]
            counts[kind] = {x: int(total[i]) for i, x in enumerate(names)}
    return counts


def count_classes(rows: List[dict],
                  class_map: Optional[ClassMap]) -> Dict[str, dict]:
    """By class the counts in training and validation by kind, such as
    ``train bbox``, and ``remarks`` on what a task lacks."""
    classes: Dict[str, dict] = {}
    for row in rows:
        for kind, counts in row['counts'].items():
            for name, number in counts.items():
                found = classes.setdefault(name, dict(remarks=[]))
                key = f'{row["phase"]} {kind}'
                found[key] = found.get(key, 0) + number
    for name, found in classes.items():
        found['remarks'] += [f'no {unit} in training'
                             for kind, unit in UNITS.items()
                             if found.get(f'train {kind}') == 0]
        if class_map and name in class_map.det_classes and (
                class_map.det_classes.index(name) in class_map.det_only):
            found['remarks'].append('no mask shows it')
        if class_map and name in class_map.seg_classes and (
                class_map.seg_classes.index(name) in class_map.seg_only):
            found['remarks'].append('no box marks it')
    return classes
