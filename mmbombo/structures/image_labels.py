# Copyright (c) mmbombo contributors.
"""The annotation kind ``image_label``: which classes an image shows.

In a sample it is a :obj:`LabelData`, whose ``label`` ``(C, )`` int8 says of
each class of the task 'cls' whether it is present, absent or unknown.
"""
from typing import Iterable, List, Tuple

from torch import Tensor

from .annotation_kinds import AnnotationKind, SampleField, register_kind

PRESENT, ABSENT, UNKNOWN = 1, 0, -1

IMAGE_LABEL = register_kind(
    AnnotationKind(
        'image_label',
        task='cls',
        info_key='image_labels',
        fields=(SampleField('gt_image_label'), ),
        classes_key='cls_classes',
        text='tags')).name


def image_labels(num_classes: int,
                 present: Iterable[int],
                 unknown: Iterable[int] = ()) -> List[int]:
    """Labels of an image of which the present classes are listed: C times
    :data:`PRESENT`, :data:`ABSENT` or, if it may show them, :data:`UNKNOWN`.
    """
    labels = [ABSENT] * num_classes
    for value, classes in ((UNKNOWN, unknown), (PRESENT, present)):
        for index in classes:
            labels[index] = value
    return labels


def only_classes(labels: Tensor) -> Tuple[Tensor, Tensor]:
    """The class ``(n, )`` int64 of each image by its labels ``(n, C)``, and
    whether exactly one is known to be present, bool."""
    present = labels == PRESENT
    return present.long().argmax(1), present.sum(1) == 1
