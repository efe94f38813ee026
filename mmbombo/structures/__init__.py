# Copyright (c) mmbombo contributors.
from .annotation_kinds import (BBOX, SEM_SEG, AnnotationKind, SampleField,
                               annotation_kind, annotation_kinds, check_kinds,
                               kind_of_task, register_kind,
                               register_weak_label_field, sample_fields)
from .class_map import ClassMap
from .depth import DEPTH, POSE
from .image_labels import IMAGE_LABEL
from .regions import REGIONS, Regions
from .saliency import SALIENCY
from .special_labels import IGNORE_INDEX, UNLISTED_LABEL

__all__ = [
    'AnnotationKind', 'BBOX', 'ClassMap', 'DEPTH', 'IGNORE_INDEX',
    'IMAGE_LABEL', 'POSE', 'REGIONS', 'Regions', 'SALIENCY', 'SEM_SEG',
    'SampleField', 'UNLISTED_LABEL', 'annotation_kind', 'annotation_kinds',
    'check_kinds', 'kind_of_task', 'register_kind',
    'register_weak_label_field', 'sample_fields'
]
