# Copyright (c) mmbombo contributors.
"""Sets of candidate classes, numbered."""
from typing import Dict, List

import numpy as np

from mmbombo.structures import IGNORE_INDEX


class CandidateSets:
    """The sets of classes that a pseudo mask leaves possible at its pixels.

    A mask holds the number of a set at each pixel, and ``IGNORE_INDEX`` where
    any class is possible. So does a pixel of the empty set, which contradicts
    itself, and of a set for which there is no number left.

    Args:
        num_classes (int): Number C of segmentation classes.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self._sets: List[np.ndarray] = []
        self._numbers: Dict[bytes, int] = {}

    @property
    def table(self) -> np.ndarray:
        """np.ndarray: ``(T, C)`` bool, the sets by number."""
        return np.array(self._sets, dtype=bool).reshape(-1, self.num_classes)

    def number(self, classes: np.ndarray) -> int:
        """The number of a set, a new one if need be.

        Args:
            classes (np.ndarray): ``(C, )`` bool.
        """
        if classes.all() or not classes.any():
            return IGNORE_INDEX
        key = classes.tobytes()
        if key not in self._numbers:
            if len(self._sets) == IGNORE_INDEX:
                return IGNORE_INDEX
            self._numbers[key] = len(self._sets)
            self._sets.append(classes.copy())
        return self._numbers[key]

    def widen(self, mask: np.ndarray, classes: np.ndarray) -> None:
        """Make further classes possible at all pixels of a mask.

        Args:
            mask (np.ndarray): ``(H, W)`` uint8 numbers, changed in place.
            classes (np.ndarray): ``(C, )`` bool.
        """
        present = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
        wider = np.full(256, IGNORE_INDEX, dtype=np.uint8)
        for number in present[present != IGNORE_INDEX]:
            wider[number] = self.number(self._sets[number] | classes)
        mask[:] = wider[mask]
