# Copyright (c) mmbombo contributors.
"""Two processes with a thread each against one process with two threads.

A BoMBo step on the same images: each process has a half of either kind, and
gradients are averaged by ``DistributedDataParallel`` over gloo. On a CPU only.
"""
import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, Dict, List

import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel

from mmbombo.utils import keep_freed_memory
from .batches import own_batch
from .bombo_naive_all import confident_bombo
from .rows import Row, in_turn, ratio_of
from .running import fresh
from .stock import sizes
from .worker import Worker

PROCESSES = 2


def run(options: Namespace) -> List[Row]:
    """Keep both processes waiting while the one works, and the reverse."""
    if options.device != 'cpu':
        print('two_processes: on a CPU only, left out', flush=True)
        return []
    if options.batch % PROCESSES:
        sys.exit('two_processes needs an even --batch')
    torch.set_num_threads(PROCESSES)
    one = confident_bombo(options, own_batch(options), 'self')
    workers = Workers(options)
    try:
        one_ms, two_ms = in_turn(one, workers.step, options.repeats)
        reduced = workers.count()
    finally:
        workers.stop()
        torch.set_num_threads(options.threads)
    ratio, spread = ratio_of(one_ms, two_ms)
    return [
        Row(f'two_processes_{options.model}',
            ratio,
            .95,
            'at least',
            spread,
            'images per second of two processes / of one with two threads',
            figures={
                **sizes(options), 'threads': PROCESSES,
                'all_reduce calls of a step, by file': reduced
            },
            times=dict(one=one_ms, two=two_ms))
    ]


class Workers:
    """Processes that take a step when they are told to.

    Args:
        options (Namespace): The command's.
    """

    def __init__(self, options: Namespace) -> None:
        self.folder = TemporaryDirectory()
        store = Path(self.folder.name) / 'store'
        self.workers = [
            Worker(prepare, rank, store, options) for rank in range(PROCESSES)
        ]

    def step(self) -> None:
        """A step of all."""
        self._ask('step')

    def count(self) -> Dict[str, int]:
        """Who calls ``all_reduce`` in a step, and how often."""
        return self._ask('count')

    def stop(self) -> None:
        """End the processes."""
        for worker in self.workers:
            worker.stop()
        self.folder.cleanup()

    def _ask(self, what: str):
        for worker in self.workers:
            worker.tell(what)
        return [worker.hear() for worker in self.workers][0]


def prepare(rank: int, store: Path,
            options: Namespace) -> Dict[str, Callable]:
    """What a process is told to do: a step, or a step that is counted."""
    torch.set_num_threads(1)
    keep_freed_memory()
    dist.init_process_group(
        'gloo',
        init_method=store.as_uri(),
        rank=rank,
        world_size=PROCESSES)
    whole = own_batch(options)
    # boxes first, then masks: every other image is half of either kind
    batch = {key: values[rank::PROCESSES] for key, values in whole.items()}
    training = confident_bombo(options, batch, 'self')
    wrapped = MMDistributedDataParallel(training.model)

    def step() -> None:
        wrapped.train_step(fresh(batch), training.optim)

    return dict(step=step, count=lambda: count_reductions(step))


def count_reductions(step) -> Dict[str, int]:
    """Count ``all_reduce`` by the file that asks, in one step.

    The gradients' are not among them: DistributedDataParallel makes them
    elsewhere.
    """
    counts: Counter = Counter()
    original = dist.all_reduce

    def counting(*args, **kwargs):
        frame = sys._getframe(1)
        file = Path(frame.f_code.co_filename)
        while 'mmengine' in file.parts or file.name == 'dist_utils.py':
            frame = frame.f_back
            file = Path(frame.f_code.co_filename)
        counts[file.name] += 1
        return original(*args, **kwargs)

    dist.all_reduce = counting
    try:
        step()
    finally:
        dist.all_reduce = original
    return dict(counts)
