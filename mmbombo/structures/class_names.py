# Copyright (c) mmbombo contributors.
"""Names of classes: per task, and compared."""
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from mmbombo.utils import UserError
from .annotation_kinds import annotation_kinds
from .class_map import ClassMap

#: Task to the names of its classes, label or id = position.
TaskClasses = Dict[str, Tuple[str, ...]]


def resolve_classes(
    classes: Optional[Mapping[str, Sequence[str]]],
    class_map: Optional[Mapping[str, Any]]
) -> Tuple[TaskClasses, Optional[ClassMap]]:
    """Settle the classes of each task, and how those of two tasks relate.

    ``classes`` names them by task. ``class_map`` has the arguments of
    :class:`ClassMap`; its ``det_classes`` and ``seg_classes`` default to
    ``classes``, and ``UserError`` says where they differ.
    """
    named = {task: tuple(names) for task, names in (classes or {}).items()}
    if class_map is None:
        return named, None
    arguments = dict(class_map)
    for task in ('det', 'seg'):
        key = f'{task}_classes'
        if task in named and key in arguments:
            require_same_classes(named[task], arguments[key],
                                 ('classes', 'class_map'),
                                 f"model.classes['{task}']")
        if task in named:
            arguments.setdefault(key, named[task])
    built = ClassMap(**arguments)
    named.setdefault('det', built.det_classes)
    named.setdefault('seg', built.seg_classes)
    return named, built


def classes_of_metainfo(metainfo: Mapping[str, Any]) -> TaskClasses:
    """Task to the classes that the metainfo of a data set names for it."""
    return {
        kind.task: tuple(metainfo[kind.classes_key])
        # of several kinds of a task the first one names its classes
        for kind in reversed(annotation_kinds())
        if kind.classes_key and metainfo.get(kind.classes_key)
    }


def class_difference(ours: Sequence[str], theirs: Sequence[str],
                     owners: Tuple[str, str]) -> str:
    """Say for an error message how two lists of class names differ, '' if they
    do not; ``owners`` are such as ('the student', 'the teacher')."""
    if tuple(ours) == tuple(theirs):
        return ''
    only_ours = [name for name in ours if name not in theirs]
    only_theirs = [name for name in theirs if name not in ours]
    if only_ours or only_theirs:
        return (f'only {owners[0]} has {only_ours}, only {owners[1]} has '
                f'{only_theirs}')
    return (f'same names in another order, {list(ours)} in {owners[0]}, '
            f'{list(theirs)} in {owners[1]}')


def require_same_classes(ours: Sequence[str], theirs: Sequence[str],
                         owners: Tuple[str, str], what: str) -> None:
    """Raise ``ValueError``, which ``what`` starts, if two lists differ; see
    :func:`class_difference`."""
    difference = class_difference(ours, theirs, owners)
    if difference:
        raise UserError(f'{what}: {difference}')
