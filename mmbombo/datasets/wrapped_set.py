# Copyright (c) mmbombo contributors.
"""Sets of MMDetection and MMSegmentation, by readers that lose no object."""
from typing import Optional, Sequence

from mmdet.datasets import CocoDataset, XMLDataset
from mmengine.dataset import BaseDataset

from mmbombo.registry import DATASETS
from .coco_reader import CocoReader
from .errors import DatasetError
from .source_tree import leaf_datasets
from .xml_reader import XmlReader

#: What reads the sets of MMDetection that pass over objects without a word.
READERS = {CocoDataset: CocoReader, XMLDataset: XmlReader}


def build_wrapped(config: dict, with_boxes: bool,
                  classes: Optional[Sequence[str]],
                  test_mode: bool) -> BaseDataset:
    """Build the set that a source wraps.

    Its config has its library's prefix or ``_scope_``. With boxes it is built
    for ``classes``: it leaves out, or numbers in its own way, what is none of
    its own. ``DatasetError`` names what of its config or files is missing or
    wrong.
    """
    config = dict(config)
    if config.get('pipeline'):
        raise DatasetError('`pipeline` belongs to PartialAnnotationDataset, '
                           'not to the set that it wraps')
    with DATASETS.switch_scope_and_registry(config.pop('_scope_',
                                                       None)) as registry:
        kind = registry.get(config['type'])
        if kind is None:
            raise DatasetError(
                f"{config['type']} is not a known data set; write it with its "
                "library, e.g. 'mmdet.CocoDataset'")
        if issubclass(kind, BaseDataset):
            config.setdefault('test_mode', test_mode)
            # Serializing an empty list fails before we can explain it.
            config['serialize_data'] = False
            if with_boxes and classes is not None:
                config['metainfo'] = _with_classes(
                    config.get('metainfo'), classes)
        for base, reader in READERS.items():
            if issubclass(kind, base):
                config['type'] = type(kind.__name__, (reader, kind),
                                      dict(with_boxes=with_boxes))
        wrapped = registry.build(config)
    for leaf in leaf_datasets(wrapped) if with_boxes else ():
        if leaf is not wrapped and isinstance(leaf, tuple(READERS)):
            raise DatasetError(
                f'{type(wrapped).__name__} hides {type(leaf).__name__}, whose '
                'boxes and classes must be checked. Give `dataset` that set '
                'itself: PartialAnnotationSampler repeats short sources, and '
                'ConcatSource joins several sets')
    return wrapped


def _with_classes(metainfo: Optional[dict], classes: Sequence[str]) -> dict:
    metainfo = dict(metainfo or {})
    own = metainfo.setdefault('classes', tuple(classes))
    if tuple(own) != tuple(classes):
        raise DatasetError(
            f'metainfo gives the classes {tuple(classes)}, but the wrapped set'
            f' is built for {tuple(own)}; give them once')
    return metainfo
