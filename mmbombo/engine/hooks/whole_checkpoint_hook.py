# Copyright (c) mmbombo contributors.
import os
import os.path as osp
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any, Iterator, List

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmbombo.registry import HOOKS
from mmbombo.utils import UserError
from mmbombo.utils.atomic_write import UNFINISHED, atomic_write
from mmbombo.utils.unknown_arguments import argument_names, did_you_mean

#: Under which checkpoints say at which iteration was validated last.
VALIDATED = 'validated_iter'
#: And which best checkpoints another one has replaced, and are to be removed.
DUE = 'replaced_ckpts'


@HOOKS.register_module('CheckpointHook')
class WholeCheckpointHook(CheckpointHook):
    """MMEngine's, with a whole checkpoint on disk at any time.

    What a new checkpoint replaces is removed after it is written, and
    ``last_checkpoint`` is written as a whole, with a path that stays right
    when the work directory is moved. A validation that did not end is repeated
    when the training is resumed: its checkpoint is from before it.
    """

    def before_train(self, runner) -> None:
        """Remove what a kill has left, and validate if that is due."""
        super().before_train(runner)
        options = signature(Runner.save_checkpoint).parameters
        for key in {*self.args} - {*options}:
            hint = did_you_mean(key, argument_names(type(self)))
            raise UserError(f'default_hooks.checkpoint has no {key!r}{hint}')
        if is_main_process():
            for path in Path(self.out_dir).glob(f'.*{UNFINISHED}'):
                path.unlink()
            for path in runner.message_hub.runtime_info.get(DUE, ()):
                Path(self._here(path)).unlink(missing_ok=True)
        self._find_best()
        done = runner.message_hub.runtime_info.get(VALIDATED)
        if runner.iter and done != runner.iter and validation_is_due(runner):
            runner.logger.info(
                f'the validation at iteration {runner.iter} is repeated')
            runner.val_loop.run()

    def _find_best(self) -> None:
        """Look for the best checkpoints where the work directory is now."""
        if getattr(self, 'best_ckpt_path', None):
            self.best_ckpt_path = self._here(self.best_ckpt_path)
        for key, path in getattr(self, 'best_ckpt_path_dict', {}).items():
            self.best_ckpt_path_dict[key] = path and self._here(path)

    def _here(self, path: str) -> str:
        return self.file_backend.join_path(self.out_dir, osp.basename(path))

    def after_val_epoch(self, runner, metrics: dict) -> None:
        """Save the best checkpoint, which replaces the one before."""
        if not hasattr(self, 'file_backend'):  # nothing is trained
            return
        self._check_save_best(metrics)
        runner.message_hub.update_info(VALIDATED, runner.iter)
        with self._removing_last(runner):
            super().after_val_epoch(runner, metrics)

    def _check_save_best(self, metrics: dict) -> None:
        """Raise ``UserError`` for a metric that nobody gives."""
        for key in getattr(self, 'key_indicators', ()):
            if key != 'auto' and key not in metrics:
                hint = did_you_mean(key, metrics)
                raise UserError(
                    f'default_hooks.checkpoint.save_best={key!r} is no metric'
                    f'{hint or f"; there are {sorted(metrics)}"}')

    def _save_checkpoint_with_step(self, runner, step: int,
                                   meta: dict) -> None:
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        due: List[int] = []
        if self.max_keep_ckpts > 0:
            *due, last = dict.fromkeys([*self.keep_ckpt_ids, step])
            # with what is due, which is removed by whoever resumes
            runner.message_hub.update_info('keep_ckpt_ids', [*due, last])
            due = due[:len(due) + 1 - self.max_keep_ckpts]
            if step not in self.keep_ckpt_ids:
                self.keep_ckpt_ids.append(step)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args)
        if not is_main_process():
            return
        point_to(runner.work_dir, self.last_ckpt)
        for old in due:
            path = self._here(self.filename_tmpl.format(old))
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)

    @contextmanager
    def _removing_last(self, runner) -> Iterator[None]:
        """Put off what is removed until all is written."""
        backend = self.file_backend
        self.file_backend = late = _LateRemoval(backend)
        # what is written meanwhile says what is due
        runner.message_hub.update_info(DUE, late.due)
        try:
            yield
        finally:
            self.file_backend = backend
        for path in late.due:
            backend.remove(path)
        runner.message_hub.update_info(DUE, [])


class _LateRemoval:
    """A file backend that removes nothing, but keeps in mind what is due."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.due: List[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.due.append(path)


def point_to(work_dir: str, checkpoint: str) -> None:
    """Let ``last_checkpoint`` name a checkpoint, relative to its folder."""
    if '://' not in checkpoint:
        checkpoint = os.path.relpath(checkpoint, work_dir)
    atomic_write(
        Path(work_dir) / 'last_checkpoint', checkpoint.encode(), durable=True)


def validation_is_due(runner) -> bool:
    """Whether the loop validates after the step that was the last one."""
    loop = runner.train_loop
    if runner.val_loop is None:
        return False
    loop._decide_current_val_interval()
    if isinstance(loop, EpochBasedTrainLoop):
        now, end = runner.epoch, loop.max_epochs
    else:
        now, end = runner.iter, loop.max_iters
    return now >= loop.val_begin and (now % loop.val_interval == 0
                                      or now == end)
