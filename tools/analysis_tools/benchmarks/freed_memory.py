# Copyright (c) mmbombo contributors.
"""A BoMBo step that keeps freed memory against one that gives it back.

On a CPU and Linux: ``tools/train.py`` keeps it. Each is in a process of
its own, since what was kept once would serve the other too.
"""
import resource
import sys
from argparse import Namespace
from typing import Callable, Dict, List

import torch

from mmbombo.utils import keep_freed_memory
from .batches import own_batch
from .bombo_naive_all import confident_bombo
from .rows import Row, alternate, ratio_of, timed
from .stock import sizes
from .worker import Worker

SIDES = dict(kept=True, given_back=False)


def run(options: Namespace) -> List[Row]:
    """Keep one process waiting while the other works."""
    if options.device != 'cpu' or not sys.platform.startswith('linux'):
        print('freed_memory: on a CPU and Linux only, left out', flush=True)
        return []
    kept, given_back = (
        Worker(prepare, options, keep) for keep in SIDES.values())
    try:
        times = dict(
            zip(
                SIDES,
                alternate(lambda: kept.ask('step'),
                          lambda: given_back.ask('step'), options.repeats)))
        used = dict(zip(SIDES, (kept.ask('used'), given_back.ask('used'))))
    finally:
        kept.stop()
        given_back.stop()
    ratio, spread = ratio_of(*times.values())
    figures = {
        f'{name}, {side}': found[name]
        for side, found in used.items() for name in found
    }
    return [
        Row(f'freed_memory_{options.model}',
            ratio,
            None,
            'any',
            spread,
            'time of a BoMBo step that keeps freed memory / that does not',
            figures={
                **sizes(options),
                **figures
            },
            times=times)
    ]


def prepare(options: Namespace, keep: bool) -> Dict[str, Callable]:
    """What a process is asked: milliseconds of a step, and what it used."""
    torch.set_num_threads(options.threads)
    if keep and not keep_freed_memory():
        raise RuntimeError('the C library cannot keep freed memory')
    bombo = confident_bombo(options, own_batch(options), 'self')

    def used() -> Dict[str, int]:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        bombo()
        after = resource.getrusage(resource.RUSAGE_SELF)
        return {
            'page faults of a step': after.ru_minflt - before,
            'MiB held at most': after.ru_maxrss // 1024
        }

    return dict(step=lambda: timed(bombo)[0], used=used)
