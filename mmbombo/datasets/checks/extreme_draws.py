# Copyright (c) mmbombo contributors.
"""Random numbers that make every rare case happen.

A transform with a probability of 1 in 20 does nothing in most of any ten
draws. Here the generators say the smallest number again and again, or the
largest, so that ``random() < p`` holds, or its reverse.
"""
import random
from contextlib import contextmanager
from typing import Iterator, Tuple

import numpy as np
import torch

from mmbombo.datasets.draw_seed import SeededIndex, seeded_draw

#: So many numbers of 32 bits are extreme. Those behind them are random, since
#: a method that draws until a number suits it would never end otherwise.
NUM_EXTREME = 300
#: State words that a Mersenne twister puts out as 0x01000000 and 0xFEFFFFFF.
#: Python's and NumPy's floats, of the highest bits, are then 1/256 from an
#: end: not 0, of which some methods take the logarithm. NumPy's integers and
#: torch's floats, of the lowest bits, are extreme too.
STATE_WORDS = dict(low=0x81102244, high=0x93CDB9F7)
#: Words of a Mersenne twister's state.
STATE_SIZE = 624
#: Where torch's state, read as integers of 64 bits, says how many words are
#: left (and, above, that it is seeded), which is next, and the words.
TORCH_LEFT, TORCH_NEXT, TORCH_WORDS = 1, 2, 3


@contextmanager
def extreme_draws(end: str) -> Iterator[None]:
    """Let ``random``, NumPy and torch (CPU) draw extreme numbers inside.

    The generators get their former state back at the end.

    Args:
        end (str): ``'low'`` or ``'high'``.
    """
    with seeded_draw(SeededIndex(0, draw_seed=0)):
        words = np.random.randint(2**32, size=STATE_SIZE, dtype=np.uint32)
        words[:NUM_EXTREME] = STATE_WORDS[end]
        random.setstate((3, (*words.tolist(), 0), None))
        np.random.set_state(('MT19937', words, 0))
        state = torch.get_rng_state()
        numbers = state.view(torch.int64)
        numbers[TORCH_LEFT] = 2**32 + STATE_SIZE
        numbers[TORCH_NEXT] = 0
        numbers[TORCH_WORDS:TORCH_WORDS + STATE_SIZE] = torch.from_numpy(
            words.astype(np.int64))
        torch.set_rng_state(state)
        yield


def generator_states() -> Tuple[tuple, bytes, int, bytes]:
    """What differs once a number was drawn from any of the generators."""
    _, words, position, *_ = np.random.get_state()
    return (random.getstate(), words.tobytes(), position,
            torch.get_rng_state().numpy().tobytes())
