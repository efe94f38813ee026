# Copyright (c) mmbombo contributors.
"""MMDetection's and MMSegmentation's networks, in a process of their own.

It does not import mmbombo, but for networks whose parts are mmbombo's. It
waits for commands, so that both sides can take turns, and times them itself:
what passes through the pipe is in no time. It is no process of
``multiprocessing``, which would import the command's modules into it.
"""
import os
import pickle
import subprocess
import sys
from argparse import Namespace
from functools import cached_property
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import cv2
import torch
from mmengine.logging import MMLogger

from .rows import timed
from .running import (Training, peak_memory, predict, sum_of_losses, wait,
                      waiting, weights_in_bytes)
from .scores import det_evaluator, seg_evaluator, validate
from .stock import WITH_PARTS_OF_OURS, build_both

TOOLS = Path(__file__).resolve().parents[1]
ROOT = TOOLS.parents[1]
#: What mmbombo.utils.keep_freed_memory sets, for a process without mmbombo.
KEEP_FREED_MEMORY = dict(MALLOC_MMAP_MAX_='0', MALLOC_TRIM_THRESHOLD_='-1')


class Stock:
    """Both networks, as the process has them; its methods are the commands.

    Args:
        options (Namespace): The command's.
        weights (dict[str, dict]): As of :func:`build_both`.
        boxes (dict): Batch with boxes, as MMDetection packs it.
        maps (dict): Batch with masks, as MMSegmentation packs it.
    """

    def __init__(self, options: Namespace, weights: Dict[str, dict],
                 boxes: dict, maps: dict) -> None:
        self.options = options
        self.sides = [(model.to(options.device).eval(), batch)
                      for model, batch in zip(
                          build_both(options.model, weights), (boxes, maps))]

    def imports_ours(self) -> bool:
        """Whether this process has imported mmbombo."""
        return 'mmbombo' in sys.modules

    def sum_of_losses(self) -> float:
        """Of both networks."""
        return sum(sum_of_losses(*side) for side in self.sides)

    @cached_property
    def _trainings(self) -> List[Training]:
        return [Training(*side, self.options.device) for side in self.sides]

    def step(self) -> None:
        """A step of each; they stay in training mode."""
        for training in self._trainings:
            training()

    def predict(self) -> Tuple[list, list]:
        """Samples with boxes, and samples with maps."""
        return tuple(predict(*side) for side in self.sides)

    def predictions(self) -> Tuple[list, list]:
        """What they predict, on the CPU."""
        return tuple([sample.cpu() for sample in samples]
                     for samples in self.predict())

    def memory(self) -> int:
        """Bytes at the peak of a prediction, both networks resident."""
        resident = weights_in_bytes(*(model for model, _ in self.sides))
        return peak_memory(self.predict, self.options.device, resident)

    def validate(self) -> Dict[str, float]:
        """Scores of both."""
        found: Dict[str, float] = {}
        for side, make in zip(self.sides, (det_evaluator, seg_evaluator)):
            found.update(validate(*side, make(), self.options.batch))
        return found


class Baseline:
    """The process, as seen from here; a context manager.

    Args:
        options (Namespace): The command's.
    """

    def __init__(self, options: Namespace) -> None:
        self.options = options
        self.pipe, theirs = Pipe()
        number = theirs.fileno()
        environment = dict(os.environ, PYTHONPATH=str(ROOT))
        if options.device == 'cpu':
            environment.update(KEEP_FREED_MEMORY)
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'benchmarks.baseline',
             str(number)],
            cwd=TOOLS,
            env=environment,
            pass_fds=[number])
        theirs.close()

    def __enter__(self) -> 'Baseline':
        return self

    def __exit__(self, *error) -> None:
        # at which it ends
        self.pipe.close()
        self.process.wait()

    def build(self, weights: Dict[str, dict], boxes: dict, maps: dict) -> None:
        """Give it networks, in place of those it had; see :class:`Stock`.

        Raises:
            RuntimeError: If it has imported mmbombo without need.
        """
        self._send('build', (self.options, weights, boxes, maps))
        own_parts = self.options.model in WITH_PARTS_OF_OURS
        if self.ask('imports_ours') and not own_parts:
            raise RuntimeError('the baseline has imported mmbombo')

    def figures(self) -> Dict[str, str]:
        """What its process is, for the figures of a row."""
        without = self.options.model not in WITH_PARTS_OF_OURS
        return {
            'process of the baseline':
            'its own, without mmbombo' if without else
            'its own; imports mmbombo, whose backbone, neck and heads it has'
        }

    def ask(self, command: str):
        """What a method of :class:`Stock` returns."""
        return self._send('ask', command)

    def time(self, command: str) -> Callable[[], float]:
        """A function: milliseconds that a method of :class:`Stock` takes."""
        return lambda: self._send('time', command)

    def _send(self, verb: str, what):
        try:
            send(self.pipe, (verb, what))
            return receive(self.pipe)
        except (EOFError, OSError):
            raise RuntimeError(f'the baseline failed to {verb}; its own '
                               'error is printed above') from None


def send(pipe: Connection, message) -> None:
    """By value: a pipe itself would put tensors into shared memory."""
    pipe.send_bytes(pickle.dumps(message))


def receive(pipe: Connection):
    """What :func:`send` has sent."""
    return pickle.loads(pipe.recv_bytes())


def work(pipe: Connection) -> None:
    """The process: obey until the pipe is closed."""
    while True:
        try:
            verb, what = receive(pipe)
        except EOFError:
            return
        answer = None
        if verb == 'build':
            stock = prepare(*what)
        elif verb == 'ask':
            answer = getattr(stock, what)()
        else:
            device = stock.options.device
            wait(device)
            answer, _ = timed(waiting(device, getattr(stock, what)))
        send(pipe, answer)


def prepare(options: Namespace, *given) -> Stock:
    """The networks, in a process with as many threads as the other."""
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    # as ours has it; tables of scores would be in the times
    MMLogger.get_instance('benchmark', log_level='ERROR')
    return Stock(options, *given)


if __name__ == '__main__':
    work(Connection(int(sys.argv[1])))
