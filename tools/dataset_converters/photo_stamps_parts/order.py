# Copyright (c) mmbombo contributors.
"""Who lies on top of whom, where that is not left to chance."""
from typing import Callable, Dict, List, Optional, Sequence

import numpy as np

from .layer import Layer

#: Whether the first layer lies on top of the second, of another class, which
#: it overlaps; asked with both masks ``(H, W)`` and the number of classes.
Rule = Callable[[Layer, Layer, np.ndarray, np.ndarray, int], bool]


def pairs(a: Layer, b: Layer, mask_a: np.ndarray, mask_b: np.ndarray,
          num_classes: int) -> bool:
    """Each class lies on top of the next half of the classes, in a circle: no
    order of the classes says as much, only the pair does."""
    a, b = a.cutout.label, b.cutout.label
    steps = 2 * ((b - a) % num_classes)
    return steps < num_classes or (steps == num_classes and a < b)


def size(a: Layer, b: Layer, mask_a: np.ndarray, mask_b: np.ndarray,
         num_classes: int) -> bool:
    """The smaller one lies on top, whatever its class."""
    key_a, key_b = ((m.sum(), x.cutout.label)
                    for x, m in ((a, mask_a), (b, mask_b)))
    return key_a < key_b


RULES: Dict[str, Rule] = dict(pairs=pairs, size=size)


def stack(layers: Sequence[Layer], masks: Sequence[np.ndarray], rule: Rule,
          num_classes: int) -> Optional[List[int]]:
    """The layers, by number, from bottom to top; None if the rule goes round
    in a circle. Layers of one class stay in their order where it allows."""

    def covers(i: int, j: int) -> bool:
        return (layers[i].cutout.label != layers[j].cutout.label
                and np.any(masks[i] & masks[j]) and rule(
                    layers[i], layers[j], masks[i], masks[j], num_classes))

    numbers = range(len(layers))
    below = [{j for j in numbers if covers(i, j)} for i in numbers]
    order: List[int] = []
    while len(order) < len(layers):
        free = [i for i in numbers if i not in order and below[i] <= {*order}]
        if not free:
            return None
        order.append(free[0])
    return order
