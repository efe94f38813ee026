# Copyright (c) mmbombo contributors.
import os
import signal
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any, Iterator, Optional

import torch
import torch.distributed as dist
from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import EpochBasedTrainLoop

SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: Seconds within which the same signal may come twice without being asked for
#: twice: from the terminal, and from torchrun.
SAME = 1.


class StopSignalHook(Hook):
    """Saves a checkpoint and ends the training after SIGTERM or SIGINT.

    Both wait for the end of the step, or, in a validation of one process whose
    checkpoint is there, of the batch. A second one ends the process at once.
    The processes of a distributed run agree on the step; that costs them no
    wait for a device: what each was asked for is exchanged during the next
    step.

    The exit status is 128 plus the number of the signal, as shells have it.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.asked, self._when = 0, 0.
        self._group: Any = None
        self._exchange: Any = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Wait for signals; only the main thread of a process may."""
        before = {}
        if threading.current_thread() is threading.main_thread():
            before = {x: signal.signal(x, self._hear) for x in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, frame: Optional[FrameType]) -> None:
        if self.asked and time.monotonic() - self._when > SAME:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not self.asked:
            self.asked, self._when = number, time.monotonic()

    def before_train(self, runner) -> None:
        """Prepare the exchange, which a step on a GPU does not wait for."""
        if get_world_size() > 1:
            seconds = runner.cfg.get('env_cfg', {}).get('dist_cfg',
                                                        {}).get('timeout')
            self._group = dist.new_group(
                backend='gloo',
                timeout=seconds and timedelta(seconds=seconds))

    def after_train_iter(self, runner, *args: Any, **kwargs: Any) -> None:
        """Save and end, if that was asked for."""
        asked = self._asked_of_any() if self._group else self.asked
        if asked:
            self._end(runner, asked, runner.iter + 1)

    def after_val_iter(self, runner, *args: Any, **kwargs: Any) -> None:
        """End, if that was asked for and there is nothing to save; of
        several processes, others would wait for this one's metrics."""
        if self.asked and not self._group and is_saved(runner, runner.iter):
            self._end(runner, self.asked, runner.iter)

    def _asked_of_any(self) -> int:
        """The signal that any process had before its last step, or 0."""
        asked = 0
        if self._exchange is not None:
            work, value = self._exchange
            work.wait()
            asked = int(value)
        value = torch.tensor(self.asked)
        work = dist.all_reduce(
            value, dist.ReduceOp.MAX, self._group, async_op=True)
        self._exchange = work, value
        return asked

    def _end(self, runner, asked: int, step: int) -> None:
        hook = checkpoint_hook(runner)
        if hook is None or isinstance(runner.train_loop, EpochBasedTrainLoop):
            done = 'nothing is saved within an epoch, or without a ' \
                   'CheckpointHook'
        else:
            if not is_saved(runner, step):
                hook._save_checkpoint(runner)
            done = f'{hook.last_ckpt} is saved; --resume goes on from it'
        runner.logger.warning(f'{signal.Signals(asked).name}: the training '
                              f'ends at iteration {step}; {done}')
        raise SystemExit(128 + asked)


def checkpoint_hook(runner) -> Optional[CheckpointHook]:
    """What saves checkpoints, if anything does."""
    hooks = (x for x in runner.hooks if isinstance(x, CheckpointHook))
    return next(hooks, None)


def is_saved(runner, step: int) -> bool:
    """Whether the last checkpoint is of a step."""
    hook = checkpoint_hook(runner)
    return (hook is not None and not hook.by_epoch
            and str(hook.last_ckpt).endswith(hook.filename_tmpl.format(step)))
