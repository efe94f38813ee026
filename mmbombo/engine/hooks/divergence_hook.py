# Copyright (c) mmbombo contributors.
from functools import partial
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.optim import Optimizer

from mmbombo.registry import HOOKS
from mmbombo.utils import UserError
from mmbombo.utils.checkpoint import nonfinite_weights
from mmbombo.utils.distributed import unwrapped


class DivergedError(UserError):
    """Losses, gradients or weights of a training are NaN or infinite."""


class _Batch(NamedTuple):
    """What a process knows of an iteration when it is over."""
    iteration: int  #: as the log counts, from 1
    bad: List[str]  #: keys of the log whose value is not finite
    images: Dict[str, List[str]]  #: files by source


@HOOKS.register_module()
class DivergenceHook(Hook):
    """Ends a training whose loss or gradients are NaN or infinite.

    The step of such an iteration is not taken, on any process: weights,
    momentum, moving average and statistics of batch normalization stay as the
    iteration before has left them, and so does the last checkpoint. Weights
    that a step itself has made infinite are neither validated nor saved. A
    step that the gradient scaler of mixed precision skips, with a finite loss,
    is no divergence. :class:`QuietRunner`, the runner of our tools, registers
    the hook by itself.

    MMEngine reads the norm by which it clips, and with mixed precision what
    the scaler found, before each step, and this looks at the same. Without
    both, its reading of the losses after the step is preceded by one before.

    Args:
        max_skipped (int): So many steps may be skipped, with a warning, before
            the training ends. Defaults to 0.
    """

    # after RuntimeInfoHook has read the losses, before EMAHook
    priority = 'HIGH'

    def __init__(self, max_skipped: int = 0) -> None:
        self.max_skipped = max_skipped
        self._skipped = 0
        self._watched: List[OptimWrapper] = []
        self._batches: List[_Batch] = []  # since the last step
        self._refused = self._stepped = False
        self._buffers: List[List[Tensor]] = []
        self._kept: List[List[Tensor]] = []

    def before_train_epoch(self, runner) -> None:
        """Watch the optimizers; a stage has new ones."""
        for wrapper in _wrappers(runner):
            if wrapper not in self._watched:
                self._watch(wrapper)
        self._watched = _wrappers(runner)
        if not self._kept:
            by_type: Dict[torch.dtype, List[Tensor]] = {}
            for buffer in unwrapped(runner.model).buffers():
                by_type.setdefault(buffer.dtype, []).append(buffer)
            self._buffers = [*by_type.values()]
            self._kept = [[x.clone() for x in y] for y in self._buffers]

    def _watch(self, wrapper: OptimWrapper) -> None:
        backward = wrapper.backward
        # its own method, whatever its class: `update_params` calls it
        wrapper.backward = lambda loss, **kwargs: backward(
            nan_unless_finite(loss), **kwargs)
        wrapper.optimizer.register_step_pre_hook(partial(self._check, wrapper))

    def _check(self, wrapper: OptimWrapper, optimizer: Optimizer, *_) -> None:
        """Leave an optimizer without gradients, and so without a step, if
        these are not finite. What processes share tells all of them alike."""
        if _scaler(wrapper):
            # a fused optimizer looks at this itself
            self._stepped = not getattr(optimizer, 'found_inf', None)
            return
        parameters = [
            p for group in optimizer.param_groups for p in group['params']
            if p.grad is not None
        ]
        if parameters and not has_finite_gradients(wrapper, parameters):
            self._refused = True
            for parameter in parameters:
                parameter.grad = None

    def before_train_iter(self,
                          runner,
                          batch_idx: int,
                          data_batch: DATA_BATCH = None) -> None:
        """Keep the statistics that the forward pass is going to change."""
        if not self._batches:
            _copy(self._kept, self._buffers)

    def after_train_iter(self,
                         runner,
                         batch_idx: int,
                         data_batch: DATA_BATCH = None,
                         outputs: Optional[dict] = None) -> None:
        """End the training, or count, if the step was refused."""
        scalars = runner.message_hub.log_scalars
        bad = [
            key for key in outputs or ()
            if not abs(scalars[f'train/{key}'].current()) < float('inf')
        ]
        self._batches.append(
            _Batch(runner.iter + 1, bad, images_of(data_batch)))
        if has_loss(bad):  # others learn of it when the step is due
            _copy(self._buffers, self._kept)
        # by now the wrappers have counted this iteration
        if not all(x.should_update() for x in _wrappers(runner)):
            return
        scaled = any(map(_scaler, _wrappers(runner)))
        batches, self._batches = self._batches, []
        refused, self._refused = self._refused, False
        stepped, self._stepped = self._stepped, False
        if not refused and (stepped or not scaled):
            return
        # the scaler skips on all processes, but a loss is known to one only
        batches = [x for part in all_gather_object(batches) for x in part]
        wrong = [x for x in batches if x.bad]
        if not refused and not any(has_loss(x.bad) for x in wrong):
            return
        _copy(self._buffers, self._kept)
        self._skipped += 1
        message = describe(wrong or batches)
        if self._skipped <= self.max_skipped:
            runner.logger.warning(f'{message}. The step is skipped, number '
                                  f'{self._skipped} of {self.max_skipped}')
            return
        raise DivergedError(f'{message}. {remedy(runner)}')

    def before_val(self, runner) -> None:
        """Refuse to validate weights that are not finite."""
        self.before_save_checkpoint(
            runner, dict(state_dict=unwrapped(runner.model).state_dict()))

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse to save weights that are not finite."""
        bad = nonfinite_weights(checkpoint['state_dict'])
        if bad:
            raise DivergedError(f'weights are NaN or infinite: {bad[:3]}. '
                                f'{remedy(runner)}')


def has_loss(keys: List[str]) -> bool:
    """Whether one of them is optimized, as ``parse_losses`` has it."""
    return any('loss' in key for key in keys)


def nan_unless_finite(loss: Tensor) -> Tensor:
    """The same loss; one that is not finite gives NaN to all gradients, and
    with these to all processes."""
    return loss * (1 + (loss - loss).detach())


def has_finite_gradients(wrapper: OptimWrapper,
                         parameters: List[nn.Parameter]) -> bool:
    """Whether the step that comes next can be taken; a gradient whose square
    is infinite (in float32, from 1e19 on) is as infinite."""
    if wrapper.clip_grad_kwargs and wrapper.grad_name == 'grad_norm':
        norm = wrapper.message_hub.get_scalar('train/grad_norm').current()
        return norm < float('inf')  # NaN is not
    norms = torch._foreach_norm([p.grad for p in parameters])
    return bool(torch.stack([x.to(norms[0]) for x in norms]).isfinite().all())


def images_of(data_batch: DATA_BATCH) -> Dict[str, List[str]]:
    """Image files of a batch by the name of their source."""
    samples = isinstance(data_batch, dict) and data_batch.get('data_samples')
    files: Dict[str, List[str]] = {}
    for sample in samples if isinstance(samples, list) else ():
        files.setdefault(sample.get('source', ''),
                         []).append(sample.get('img_path', '?'))
    return files


def describe(batches: List[_Batch]) -> str:
    """What was not finite, where."""
    keys = sorted({x for batch in batches for x in batch.bad})
    files: Dict[str, List[str]] = {}
    for batch in batches:
        for source, names in batch.images.items():
            files.setdefault(source, []).extend(names)
    images = '; '.join(f'{source or "images"}: {", ".join(names)}'
                       for source, names in files.items())
    return (f'iteration {batches[0].iteration}: '
            f'{", ".join(keys) or "gradients"} NaN or infinite'
            f'{f" ({images})" if images else ""}')


def remedy(runner) -> str:
    """What is left, and what a user can do about it."""
    last = Path(runner.work_dir) / 'last_checkpoint'
    kept = (f'{last.parent / last.read_text().strip()} is intact'
            if last.is_file() else 'No checkpoint was saved before')
    return (f'{kept}. Lower lr, clip gradients (optim_wrapper.clip_grad), or '
            'look at the batch with tools/misc/replay_batch.py; '
            "custom_hooks=[dict(type='DivergenceHook', max_skipped=10)] "
            'passes over so many steps')


def _wrappers(runner) -> List[OptimWrapper]:
    # an OptimWrapperDict has several
    wrapper = runner.optim_wrapper
    return [*getattr(wrapper, 'optim_wrappers', {'': wrapper}).values()]


def _scaler(wrapper: OptimWrapper) -> bool:
    scaler = getattr(wrapper, 'loss_scaler', None)
    return scaler is not None and scaler.is_enabled()


def _copy(to: List[List[Tensor]], values: List[List[Tensor]]) -> None:
    for theirs, ours in zip(to, values):
        torch._foreach_copy_(theirs, ours)
