# Copyright (c) mmbombo contributors.
from typing import Dict, List, Tuple

import numpy as np

from mmbombo.structures import IGNORE_INDEX

#: Numbers from which on those that are not shown any more are reused.
_MANY = IGNORE_INDEX // 2

Window = Tuple[slice, slice]


class CandidateMask:
    """A mask that leaves a set of classes possible at each pixel.

    It holds the number of a set, and ``IGNORE_INDEX`` where any class is
    possible. So does a pixel of the empty set, which contradicts itself, and
    of a set for which there is no number left.

    Args:
        shape (tuple[int, int]): Height H and width W.
        classes (np.ndarray): ``(C, )`` bool, what all pixels may show.
    """

    def __init__(self, shape: Tuple[int, int], classes: np.ndarray) -> None:
        self._sets: List[np.ndarray] = []
        self._number_of: Dict[bytes, int] = {}
        self.num_classes = len(classes)
        self.numbers = np.full(shape, self._number(classes), dtype=np.uint8)

    def paint(self, window: Window, where: np.ndarray,
              classes: np.ndarray) -> None:
        """Leave only some classes ``(C, )`` possible where ``(h, w)`` says."""
        self.numbers[window][where] = self._number(classes)

    def widen(self, window: Window, classes: np.ndarray) -> None:
        """Make further classes ``(C, )`` possible in all of a window."""
        if len(self._sets) > _MANY:
            self.forget_unseen()
        part = self.numbers[window]
        wider = np.full(256, IGNORE_INDEX, dtype=np.uint8)
        for number in _shown(part):
            wider[number] = self._number(self._sets[number] | classes)
        part[:] = wider[part]

    def forget_unseen(self) -> np.ndarray:
        """Number anew the sets ``(T, C)`` that some pixel shows."""
        shown = _shown(self.numbers)
        renumbered = np.full(256, IGNORE_INDEX, dtype=np.uint8)
        renumbered[shown] = np.arange(len(shown))
        self.numbers[:] = renumbered[self.numbers]
        self._sets = [self._sets[number] for number in shown]
        self._number_of = {x.tobytes(): i for i, x in enumerate(self._sets)}
        return np.array(self._sets, dtype=bool).reshape(-1, self.num_classes)

    def _number(self, classes: np.ndarray) -> int:
        """The number of a set ``(C, )``, a new one if need be."""
        if classes.all() or not classes.any():
            return IGNORE_INDEX
        key = classes.tobytes()
        if key not in self._number_of:
            if len(self._sets) == IGNORE_INDEX:
                return IGNORE_INDEX
            self._number_of[key] = len(self._sets)
            self._sets.append(classes.copy())
        return self._number_of[key]


def _shown(numbers: np.ndarray) -> np.ndarray:
    """Numbers that occur, but for ``IGNORE_INDEX``."""
    counts = np.bincount(numbers.ravel(), minlength=IGNORE_INDEX)
    return np.flatnonzero(counts[:IGNORE_INDEX])
