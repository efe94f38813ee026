# Copyright (c) mmbombo contributors.
"""Which classes weights were trained on, and which the model names."""
from typing import List, NamedTuple, Sequence, Tuple

from torch import nn

from mmbombo.structures import kind_of_task
from mmbombo.structures.class_names import (class_difference,
                                            classes_of_metainfo)
from .user_errors import UserError


class ClassChange(NamedTuple):
    """Classes of a task that are not those of its weights."""
    key: str  #: what a data set's ``metainfo`` calls them
    ours: Tuple[str, ...]  #: names in the config
    trained: Tuple[str, ...]  #: names in the checkpoint

    @property
    def only_order(self) -> bool:
        """bool: Whether both have the same names."""
        return sorted(self.ours) == sorted(self.trained)

    @property
    def weights_fit(self) -> bool:
        """bool: Whether the last layers have the same shape."""
        return len(self.ours) == len(self.trained)

    def __str__(self) -> str:
        return f'{self.key}: ' + class_difference(
            self.ours, self.trained, ('the config', 'the checkpoint'))


def find_class_changes(model: nn.Module,
                       checkpoint: dict) -> List[ClassChange]:
    """Compare a model's classes with those that its weights were trained on.

    A checkpoint that does not name them, and a task of which it has no
    weights, such as those of a stock detector, differ in nothing; nor does a
    model without ``classes``.
    """
    trained = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
    weights = checkpoint.get('state_dict', checkpoint)
    changes = []
    theirs = classes_of_metainfo(trained)
    for task, ours in getattr(model, 'classes', {}).items():
        loaded = any(f'task_heads.{name}.' in key for key in weights
                     for name, head in model.task_heads.items()
                     if task in head.tasks)
        if task in theirs and loaded and ours != theirs[task]:
            key = kind_of_task(task).classes_key
            changes.append(ClassChange(key, ours, theirs[task]))
    return changes


def require_trained_classes(changes: Sequence[ClassChange],
                            where: str) -> None:
    """Raise ``UserError`` if weights would answer for other classes.

    ``where`` says whose weights they are.
    """
    if changes:
        raise UserError(
            f'{where}: the checkpoint was trained on other classes than the '
            f'config has; {"; ".join(map(str, changes))}. Weights know a '
            'class by its position: give the config, class map and data sets '
            'alike, the classes of the checkpoint in their order (they are in '
            "its meta['dataset_meta'])")


def fine_tuning_notes(changes: Sequence[ClassChange]) -> List[str]:
    """What a training that starts from weights of other classes means.

    Layers of another shape are left out, and MMEngine names them. Those that
    fit are loaded, whatever their classes were. The same classes in another
    order are a ``UserError``: each would start from the weights of another.
    """
    require_trained_classes([x for x in changes if x.only_order], 'load_from')
    return [
        'load_from: the checkpoint was trained on other classes, but on as '
        f'many, so that its last layers are loaded; {change}. Each class '
        'starts from the weights of the one that had its position: a class '
        'that both have should stay where it was' for change in changes
        if change.weights_fit
    ]
