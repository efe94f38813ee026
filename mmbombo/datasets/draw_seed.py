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
from torch.utils.data import get_worker_info


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
    """Seed ``random``, NumPy and torch (CPU) from a :class:`SeededIndex`
    inside the block; any other integer leaves the generators alone.

    They get their former state back at the end: with ``num_workers=0`` the
    block runs in the training process, whose own randomness must not depend on
    where the data are loaded. A worker of a loader has none of its own and
    saves the time, ten times that of seeding.
    """
    if not isinstance(index, SeededIndex):
        yield
        return
    if in_worker():
        seed_generators(index.draw_seed)
        yield
        return
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed_generators(index.draw_seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def in_worker() -> bool:
    """Whether a process of a data loader runs this, not a thread of it."""
    info = get_worker_info()
    # the attribute is of PyTorch 2.13
    return info is not None and getattr(info, 'worker_method',
                                        'multiprocessing') != 'thread'


def seed_generators(seed: int) -> None:
    """Seed ``random``, NumPy and torch (CPU); ``seed`` is in [0, 2**63)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # Not torch.manual_seed: that would reach the GPU generators too.
    torch.default_generator.manual_seed(seed)
