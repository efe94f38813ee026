# Copyright (c) mmbombo contributors.
"""Configs of data in PhotoStamps' layout, for us and for MMDetection.

No import of mmbombo: a baseline may run in a process without it.
"""
import sys
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from mmengine.config import Config

from .stock import CONFIGS

LISTS = dict(
    det='ImageSets/Main/det_train.txt', seg='ImageSets/Main/seg_train.txt')
#: Resize, crop, flip and colors: all of them MMDetection's.
GEOMETRY = Config.fromfile(CONFIGS / '_base_' / 'datasets' /
                           'photo_stamps.py').geometry
PREFIX = 'mmdet.'


def class_names(root: Path) -> Tuple[str, ...]:
    """Detection classes of a data set."""
    path = root / 'classes.txt'
    if not path.exists():
        sys.exit(f'{path} is missing; make the data set with python '
                 'tools/dataset_converters/photo_stamps.py --data photos, or '
                 'name it with --data')
    return tuple(path.read_text(encoding='utf-8').split())


def our_pipeline() -> List[dict]:
    """Reads the annotations that a source declares."""
    return [
        dict(type='LoadImageFromFile'),
        dict(type='LoadPartialAnnotations'), *GEOMETRY,
        dict(type='PackMultiTaskInputs')
    ]


def bombo_pipeline(classes: Sequence[str], cache_dir: str) -> List[dict]:
    """The same, and prepares pseudo masks and components."""
    class_map = dict(det_classes=classes, seg_classes=('background', *classes))
    load, annotations, *geometry, pack = our_pipeline()
    return [
        load, annotations,
        dict(type='LoadPseudoMask', class_map=class_map, cache_dir=cache_dir),
        *geometry,
        dict(type='LabelComponents', class_map=class_map, min_area=80), pack
    ]


def mmdet_pipeline(with_seg: bool) -> List[dict]:
    """MMDetection's way to read the same, as its configs name it.

    To be built in the scope 'mmdet': some transforms are MMCV's, and there
    have no prefix.
    """
    geometry = [{
        key:
        value[len(PREFIX):] if str(value).startswith(PREFIX) else value
        for key, value in step.items()
    } for step in GEOMETRY]
    return [
        dict(type='LoadImageFromFile'),
        dict(
            type='LoadAnnotations',
            with_bbox=True,
            with_seg=with_seg,
            imdecode_backend='pillow'), *geometry,
        dict(type='PackDetInputs')
    ]


def our_source(root: Path, source: str, kinds: Sequence[str],
               pipeline: Sequence[dict]) -> dict:
    """One source."""
    classes = class_names(root)
    return dict(
        type='PartialVOCDataset',
        data_root=str(root),
        ann_file=LISTS[source],
        source=source,
        annotation_kinds=kinds,
        metainfo=dict(classes=classes, seg_classes=('background', *classes)),
        pipeline=pipeline)


def mmdet_source(root: Path, source: str) -> Dict[str, object]:
    """The boxes of the same images."""
    return dict(
        type='mmdet.XMLDataset',
        data_root=str(root),
        data_prefix=dict(sub_data_root=str(root)),
        ann_file=LISTS[source],
        metainfo=dict(classes=class_names(root)),
        pipeline=mmdet_pipeline(with_seg=False))
