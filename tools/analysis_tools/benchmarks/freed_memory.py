# Copyright (c) mmbombo contributors.
"""A BoMBo step that keeps freed memory against one that gives it back.

On a CPU and Linux: ``tools/train.py`` keeps it. Each is in a process of
its own, since what was kept once would serve the other too.
"""
import resource
import sys
from argparse import Namespace
from multiprocessing.connection import Connection
from typing import Dict, List

import torch
from torch import multiprocessing

from mmbombo.utils import keep_freed_memory
from .batches import own_batch
from .bombo_naive_all import confident_bombo
from .rows import Row, alternate, ratio_of, timed
from .stock import sizes

SIDES = dict(kept=True, given_back=False)
#: Seconds that a process has to end by itself.
PATIENCE = 30


def run(options: Namespace) -> List[Row]:
    """Keep one process waiting while the other works."""
    if options.device != 'cpu' or not sys.platform.startswith('linux'):
        print('freed_memory: on a CPU and Linux only, left out', flush=True)
        return []
    sides = {side: Worker(options, keep) for side, keep in SIDES.items()}
    try:
        times = dict(
            zip(
                sides,
                alternate(*(worker.step for worker in sides.values()),
                          options.repeats)))
        used = {side: worker.used() for side, worker in sides.items()}
    finally:
        for worker in sides.values():
            worker.stop()
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


class Worker:
    """A process that takes a step when it is told to.

    Args:
        options (Namespace): The command's.
        keep (bool): Whether it keeps freed memory.
    """

    def __init__(self, options: Namespace, keep: bool) -> None:
        context = multiprocessing.get_context('spawn')
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=work, args=(options, keep, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def step(self) -> float:
        """Milliseconds of a step."""
        return self._ask('step')

    def used(self) -> Dict[str, int]:
        """Page faults of a step, and MiB that the process has held."""
        return self._ask('used')

    def stop(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.join(PATIENCE)
        self.process.terminate()

    def _ask(self, what: str):
        self.pipe.send(what)
        return self.pipe.recv()


def work(options: Namespace, keep: bool, pipe: Connection) -> None:
    """The process: obey until the pipe is closed."""
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

    commands = dict(step=lambda: timed(bombo)[0], used=used)
    while True:
        try:
            pipe.send(commands[pipe.recv()]())
        except EOFError:
            return
