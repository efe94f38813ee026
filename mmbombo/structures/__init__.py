# Copyright (c) mmbombo contributors.
from .annotation_kinds import BBOX, KINDS, SEM_SEG, check_kinds
from .class_map import ClassMap
from .special_labels import IGNORE_INDEX, UNLISTED_LABEL

__all__ = [
    'BBOX', 'ClassMap', 'IGNORE_INDEX', 'KINDS', 'SEM_SEG', 'UNLISTED_LABEL',
    'check_kinds'
]
