# Copyright (c) mmbombo contributors.
"""What an image can be annotated with, and what becomes of it in a sample.

A kind is declared, never inferred: an image known to hold no object has the
kind ``bbox`` and zero boxes, while an image without the kind says nothing.

A new kind is one file: it registers an :class:`AnnotationKind` here, and
functions that load, pack and draw it under its name in ``ANNOTATION_LOADERS``,
``ANNOTATION_PACKERS`` and ``ANNOTATION_DRAWERS`` of :mod:`mmbombo.registry`.
"""
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from mmbombo.utils import UserError
from .special_labels import IGNORE_INDEX

BBOX = 'bbox'
SEM_SEG = 'sem_seg'

#: How geometry moves a field: as boxes, as a map of ids or of values, by its
#: own method, or not.
BOXES, NEAREST, LINEAR, FIXED = 'boxes', 'nearest', 'linear', 'fixed'
ITSELF = 'itself'


@dataclass(frozen=True)
class SampleField:
    """A field of a :obj:`DetDataSample`.

    Args:
        name (str): Such as ``'gt_sem_seg'``.
        geometry (str): 'boxes' for :obj:`InstanceData` with ``bboxes`` in
            pixels of the input; 'nearest' or 'linear' for :obj:`PixelData`, a
            map ``(1, H, W)`` of ids or of values; 'itself' for what has a
            method ``resized(scale)``; 'fixed' for what does not move.
            Defaults to 'fixed'.
        key (str): Under which a :obj:`PixelData` holds the map; a map under
            ``'sem_seg'`` answers to ``'data'`` too. Defaults to 'data'.
        pad_value (float): Of a map in the padding; among values it means
            unknown, and is mixed into no other. Defaults to 0.
    """
    name: str
    geometry: str = FIXED
    key: str = 'data'
    pad_value: float = 0

    @property
    def is_map(self) -> bool:
        """bool: It holds a value per pixel."""
        return self.geometry in (NEAREST, LINEAR)


@dataclass(frozen=True)
class AnnotationKind:
    """A kind of annotation.

    Args:
        name (str): As data sets declare it.
        task (str): What it supervises directly.
        info_key (str): Key of an image's information in a data set that holds
            it, or says where it is.
        fields (tuple[SampleField]): What it is in a sample.
        classes_key (str): Key of the metainfo of a data set that names its
            classes. Defaults to '', it has none.
        implies (tuple[str]): Kinds that follow from it by the class map.
        text (str): What captions call it. Defaults to '', its name.
    """
    name: str
    task: str
    info_key: str
    fields: Tuple[SampleField, ...]
    classes_key: str = ''
    implies: Tuple[str, ...] = ()
    text: str = ''

    @property
    def palette_key(self) -> str:
        """str: Key of the metainfo that holds the colors of its classes."""
        return self.classes_key.replace('classes', 'palette')


_KINDS: Dict[str, AnnotationKind] = {}
#: Fields that are made from annotations for weak losses.
_WEAK_LABEL_FIELDS: List[SampleField] = []


def register_kind(kind: AnnotationKind) -> AnnotationKind:
    """Make a kind known to data sets, transforms, model and evaluation.

    Args:
        kind (AnnotationKind): The kind.

    Returns:
        AnnotationKind: The same.

    Raises:
        UserError: If another kind has its name.
    """
    if _KINDS.setdefault(kind.name, kind) != kind:
        raise UserError(f'another annotation kind is named {kind.name!r}')
    return kind


def register_weak_label_field(field: SampleField) -> SampleField:
    """Make a field known that a transform makes from annotations."""
    if field not in _WEAK_LABEL_FIELDS:
        _WEAK_LABEL_FIELDS.append(field)
    return field


register_kind(
    AnnotationKind(
        BBOX,
        task='det',
        info_key='instances',
        fields=(SampleField('gt_instances', BOXES),
                SampleField('ignored_instances', BOXES),
                SampleField('unlisted_instances', BOXES)),
        classes_key='classes',
        implies=('image_label', ),
        text='boxes'))
register_kind(
    AnnotationKind(
        SEM_SEG,
        task='seg',
        info_key='seg_map_path',
        fields=(SampleField('gt_sem_seg', NEAREST, 'sem_seg', IGNORE_INDEX), ),
        classes_key='seg_classes',
        implies=('image_label', ),
        text='mask'))
register_weak_label_field(
    SampleField('pseudo_sem_seg', NEAREST, 'sem_seg', IGNORE_INDEX))
register_weak_label_field(SampleField('component_map', NEAREST))
register_weak_label_field(SampleField('components', BOXES))


def annotation_kinds() -> List[AnnotationKind]:
    """All kinds, in the order in which they were registered."""
    return list(_KINDS.values())


def annotation_kind(name: str) -> AnnotationKind:
    """The kind of a name.

    Raises:
        UserError: If there is none of that name.
    """
    check_kinds([name])
    return _KINDS[name]


def kind_of_task(task: str) -> Optional[AnnotationKind]:
    """The kind that supervises a task directly, None if none does."""
    return next((x for x in _KINDS.values() if x.task == task), None)


def sample_fields() -> List[SampleField]:
    """All fields of samples that geometry may have to move."""
    return [x for kind in _KINDS.values()
            for x in kind.fields] + _WEAK_LABEL_FIELDS


def check_kinds(kinds: Sequence[str]) -> Tuple[str, ...]:
    """Return ``kinds`` as a tuple in a fixed order.

    Args:
        kinds (Sequence[str]): Annotation kinds that a source declares; may be
            empty.

    Returns:
        tuple[str, ...]: The kinds, in the order of their registration.

    Raises:
        UserError: If a single string is given instead of a sequence.
        UserError: If a kind is unknown or given twice.
    """
    if isinstance(kinds, str):
        raise UserError(
            f'annotation_kinds must be a sequence of kinds, such as '
            f"('{kinds}',), not the string '{kinds}'")
    unknown = sorted(set(kinds) - set(_KINDS))
    if unknown:
        raise UserError(f'unknown annotation kind(s) {unknown}; known kinds '
                        f'are {list(_KINDS)}')
    if len(set(kinds)) != len(kinds):
        raise UserError(f'annotation_kinds {tuple(kinds)} names a kind twice')
    return tuple(kind for kind in _KINDS if kind in kinds)
