# Copyright (c) mmbombo contributors.
"""Peak memory of BoMBo training against naive-all.

Weights, what the optimizer keeps, gradients and activations of a step.
"""
from argparse import Namespace
from typing import List

from .batches import own_batch
from .bombo_naive_all import confident_bombo
from .networks import build_naive_all
from .rows import Row
from .running import Training, peak_memory, weights_in_bytes
from .stock import sizes


def run(options: Namespace) -> List[Row]:
    """Measure either side alone: it does not depend on the time."""
    batch = own_batch(options)
    sides = dict(
        bombo=lambda: confident_bombo(options, batch, 'self'),
        naive_all=lambda: Training(
            build_naive_all(options.model), batch, options.device))
    held = {}
    for side, build in sides.items():
        held[side] = peak_of_step(build(), options.device)
    ratio = held['bombo'] / held['naive_all']
    return [
        Row(f'training_memory_{options.model}',
            ratio,
            1.05,
            'at most', (ratio, ratio),
            'peak memory of a BoMBo step / of a naive-all step',
            figures={
                **sizes(options), 'MiB': {
                    side: round(value / 2**20, 1)
                    for side, value in held.items()
                }
            })
    ]


def peak_of_step(training: Training, device: str) -> int:
    """Bytes held at once in a step, the first step aside."""
    training()
    resident = weights_in_bytes(training.model) + training.state_in_bytes()
    return peak_memory(training, device, resident)
