# Copyright (c) mmbombo contributors.
"""A runner whose training can be killed at any time."""
import re
import signal
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, Callable, List, Optional

from mmengine.dist import broadcast_object_list, is_main_process, master_only
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmbombo.engine.hooks.stop_signal_hook import StopSignalHook
from mmbombo.utils.atomic_write import atomic_file
from mmbombo.utils.user_errors import UserError

#: How long a worker goes on after a SIGTERM, for the step that is the last.
SECONDS_LEFT = 20


class ResumableRunner(Runner):
    """Saves whole checkpoints, when it is stopped too, and resumes from one.

    ``resume=True`` without ``load_from`` goes on from what
    ``last_checkpoint`` names, or, with a warning, from the latest checkpoint
    that is whole.
    """

    def train(self) -> nn.Module:
        """Train; SIGTERM and SIGINT save a checkpoint and end it."""
        hook = StopSignalHook()
        self.register_hook(hook)
        with hook.listening():
            return super().train()

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args: Any,
                        **kwargs: Any) -> None:
        """Save a checkpoint, which has its name only when it is whole."""
        if '://' in out_dir:
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        with atomic_file(Path(out_dir) / filename, durable=True) as unfinished:
            super().save_checkpoint(out_dir, unfinished.name, *args, **kwargs)

    def load_or_resume(self) -> None:
        """Load or resume a checkpoint, the same one on all ranks."""
        if self._resume and self._load_from is None:
            found = [None, None]
            if is_main_process():
                try:
                    found[0] = find_whole_checkpoint(
                        self.work_dir, self.logger.warning)
                except UserError as error:  # all ranks end with it
                    found[1] = error
            broadcast_object_list(found)
            self._load_from, error = found
            if error is not None:
                raise error
        super().load_or_resume()

    @staticmethod
    def build_dataloader(*args: Any, **kwargs: Any) -> DataLoader:
        """Build a data loader whose workers leave signals to the trainer."""
        loader = Runner.build_dataloader(*args, **kwargs)
        loader.worker_init_fn = partial(leave_signals, loader.worker_init_fn)
        return loader


def leave_signals(init: Optional[Callable], worker_id: int) -> None:
    """Let a worker outlive a signal that the whole process group gets.

    The training ends with its next step, for which it needs the workers; at
    the end of Python, which sends one SIGTERM and waits, they must go.
    """

    def end_soon(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        signal.alarm(SECONDS_LEFT)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end_soon)
    if init is not None:
        init(worker_id)


def find_whole_checkpoint(
        work_dir: str,
        warn: Callable[[str], None] = print) -> Optional[str]:
    """The checkpoint that a training in a folder goes on from, if any.

    Raises:
        UserError: If there are checkpoints, and all of them are damaged.
    """
    folder = Path(work_dir)
    pointer = folder / 'last_checkpoint'
    text = pointer.read_text().strip() if pointer.is_file() else ''
    if '://' in text:
        return text
    named = folder / text if text else pointer  # older ones are absolute
    saved = saved_checkpoints(work_dir)
    # its folder may have been moved
    for path in (named, folder / named.name, *saved):
        if is_whole(path):
            if path.name != named.name:
                warn(f'{named} is damaged or gone: the training goes on from '
                     f'{path}, the latest checkpoint that is whole')
            return str(path)
    if text or saved:
        raise UserError(f'{named} is damaged or gone, and {folder} has no '
                        'checkpoint that is whole: name one by --resume FILE, '
                        'or remove last_checkpoint and the damaged ones to '
                        'begin anew')
    return None


def saved_checkpoints(work_dir: str) -> List[Path]:
    """The checkpoints in a folder that can be resumed, the latest first."""
    names = re.compile(r'(?:iter|epoch)_(\d+)\.pth')
    numbers = {
        path: int(found.group(1))
        for path in Path(work_dir).glob('*.pth')
        for found in [names.fullmatch(path.name)] if found
    }
    return sorted(numbers, key=numbers.__getitem__, reverse=True)


def is_whole(path: Path) -> bool:
    """Whether a checkpoint is there, with all its checksums right."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except Exception:  # a damaged archive can fail in any way
        return False
