# Copyright (c) mmbombo contributors.
"""Randomness that belongs to the draw, not to the process that serves it.

The sampler yields indices that carry a seed. A data set seeds every generator
that transforms use from it, so the augmentation of the n-th draw is the same
for any number of workers and ranks and after a resume.
"""
import random
from contextlib import contextmanager
from typing import Iterator, Tuple

import numpy as np
import torch


class SeededIndex(int):
    """An index of a data set that carries the seed of its draw.

    It is an ``int`` wherever an ``int`` is expected and survives the trip to
    a data-loading worker.

    Args:
        index (int): Index in the data set.
        draw_seed (int): Seed of the draw, in [0, 2**63).
    """

    draw_seed: int

    def __new__(cls, index: int, draw_seed: int) -> 'SeededIndex':
        self = super().__new__(cls, index)
        self.draw_seed = draw_seed
        return self

    def __reduce__(self) -> Tuple[type, Tuple[int, int]]:
        return SeededIndex, (int(self), self.draw_seed)

    def __repr__(self) -> str:
        return f'SeededIndex({int(self)}, draw_seed={self.draw_seed})'


@contextmanager
def seeded_draw(index: int) -> Iterator[None]:
    """Seed ``random``, NumPy and torch (CPU) from ``index`` inside the block.

    The generators get their former state back at the end: with
    ``num_workers=0`` the block runs in the training process, whose own
    randomness must not depend on where the data are loaded.

    Args:
        index (int): A :class:`SeededIndex`; any other integer leaves the
            generators alone.
    """
    if not isinstance(index, SeededIndex):
        yield
        return
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(index.draw_seed)
    np.random.seed(index.draw_seed % 2**32)
    # Not torch.manual_seed: that would reach the GPU generators too.
    torch.default_generator.manual_seed(index.draw_seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
