# Copyright (c) mmbombo contributors.
from functools import partial
from typing import Any, List

from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor, nn

from mmbombo.models.utils import raw_images
from mmbombo.models.utils.local_step import (LocalStep, local_step,
                                             set_local_step)
from mmbombo.registry import HOOKS
from mmbombo.utils import UserError
from mmbombo.utils.distributed import unwrapped
from .divergence_hook import nan_unless_finite


@HOOKS.register_module()
class LocalSupervisionHook(Hook):
    """Tells a :func:`locally_supervised_backbone` what it trains itself with:
    how the optimizer wrapper scales a loss, the images and the samples.

    Local losses are logged as ``infopro/rec_0``, ``infopro/task_0``, ..., and
    are no part of the loss that is logged as the sum. :class:`QuietRunner`,
    the runner of our tools, registers the hook by itself.
    """

    def __init__(self) -> None:
        self._handles: List[Any] = []

    def before_train(self, runner) -> None:
        """Listen to the model."""
        # others scale a loss in ways of their own
        if type(runner.optim_wrapper) not in (OptimWrapper, AmpOptimWrapper):
            raise UserError(
                f'{type(runner.optim_wrapper).__name__}: local modules need '
                'one optimizer, in an OptimWrapper or AmpOptimWrapper')
        if getattr(runner.model, 'static_graph', False):
            raise UserError('static_graph=True: local modules train before '
                            'the backward pass; leave it out')
        self.after_train(runner)

        def begin(model: nn.Module, args: tuple, kwargs: dict) -> None:
            given = dict(
                zip(('inputs', 'data_samples', 'mode'), args), **kwargs)
            if given.get('mode') == 'loss':
                if isinstance(given['inputs'], dict):
                    raise UserError(
                        f'{type(model).__name__}: batches of several branches '
                        'have no local modules yet')
                set_local_step(
                    LocalStep(
                        partial(scale, runner.optim_wrapper),
                        partial(
                            raw_images, preprocessor=model.data_preprocessor),
                        len(given['inputs']),
                        given.get('data_samples') or (), {}))

        def end(model: nn.Module, args: tuple, outputs: Any) -> Any:
            step = local_step()
            if step is not None:
                set_local_step(None)
                outputs = {**outputs, **step.log}
            return outputs

        model = unwrapped(runner.model)
        self._handles = [
            model.register_forward_pre_hook(begin, with_kwargs=True),
            model.register_forward_hook(end)
        ]

    def after_train(self, runner) -> None:
        """Listen no more."""
        for handle in self._handles:
            handle.remove()
        self._handles = []


def scale(optim_wrapper: OptimWrapper, loss: Tensor) -> Tensor:
    """What ``backward`` is called on, as in ``optim_wrapper.update_params``;
    its own ``backward`` would count a step of accumulation."""
    loss = optim_wrapper.scale_loss(nan_unless_finite(loss))
    scaler = getattr(optim_wrapper, 'loss_scaler', None)
    return loss if scaler is None else scaler.scale(loss)
