# Copyright (c) mmbombo contributors.
"""Where the time of a BoMBo step goes: its parts, and the operators.

Shares without a goal. A part's time has what its own parts take in it: a weak
loss the pseudo labels and the head's loss on them.
"""
from argparse import Namespace
from collections import Counter
from typing import Dict, List

import numpy as np
from torch.profiler import ProfilerActivity, profile

from .batches import own_batch
from .bombo_naive_all import confident_bombo
from .rows import Row, ratio_of, timed
from .running import Stopwatch, Training, waiting
from .stock import sizes

#: Steps that are profiled.
PROFILED = 3
#: Operators that are listed, the most expensive ones.
NUM_OPERATORS = 12


def run(options: Namespace) -> List[Row]:
    """Time the parts within steps, then profile further steps."""
    bombo = confident_bombo(options, own_batch(options), 'self')
    operators = shares_of_operators(bombo)
    watches = watch_parts(bombo, options.device)
    step = waiting(options.device, bombo)
    step()
    for watch in watches.values():
        watch.times.clear()
    steps = [timed(step)[0] for _ in range(options.repeats)]
    rows = []
    for name, watch in watches.items():
        # supervised and weak losses call a head's loss, once each
        times = np.reshape(watch.times, (len(steps), -1)).sum(axis=1).tolist()
        ratio, spread = ratio_of(times, steps)
        rows.append(
            Row(f'part_{name}_{options.model}',
                ratio,
                None,
                'any',
                spread,
                f'time of {name} / of a BoMBo step',
                figures=sizes(options),
                times={
                    name: times,
                    'step': steps
                }))
    rows[-1].figures['share of operators'] = operators
    return rows


def watch_parts(bombo: Training, device: str) -> Dict[str, Stopwatch]:
    """Put a watch on each part of a step; 'backward' is the last."""
    model = bombo.model
    places = dict(features=(model, 'extract_feat'))
    for task, head in model.task_heads.items():
        places[f'{task}_head'] = (head, 'forward')
        places[f'{task}_losses'] = (head, 'loss_on_targets')
    for weak_loss in model.weak_losses:
        places[weak_loss.name] = (weak_loss, 'forward')
    places['optimizer'] = (bombo.optim, 'step')
    places['backward'] = (bombo.optim, 'backward')
    watches = {}
    for name, (owner, method) in places.items():
        watches[name] = Stopwatch(getattr(owner, method), device)
        setattr(owner, method, watches[name])
    return watches


def shares_of_operators(bombo: Training) -> Dict[str, float]:
    """Share of the largest operators in the time of all, in percent."""
    bombo()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(PROFILED):
            bombo()
    times = Counter({
        event.key: event.self_cpu_time_total
        for event in profiler.key_averages()
    })
    return {
        name: round(100 * spent / times.total(), 1)
        for name, spent in times.most_common(NUM_OPERATORS)
    }
