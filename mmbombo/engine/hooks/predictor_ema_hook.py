# Copyright (c) mmbombo contributors.
from typing import Optional

from mmengine.hooks import EMAHook
from mmengine.hooks.hook import DATA_BATCH

from mmbombo.registry import HOOKS
from mmbombo.utils import UserError
from mmbombo.utils.distributed import unwrapped


@HOOKS.register_module()
class PredictorEMAHook(EMAHook):
    """EMA of the model, which also predicts for the weak losses.

    The averaged model is handed to the detector as 'ema'. It is a plain
    reference, no part of the model, in evaluation mode. There is none before
    the first update, when the average is no more than the initial weights;
    after resuming there is one at once if there was one before.

    Buffers (statistics of batch normalization) are averaged too, since the
    averaged model runs with them.

    The reference is for training steps: around validation ``EMAHook`` swaps
    the weights of the model and of the average.

    Args:
        **kwargs: Arguments of :class:`mmengine.hooks.EMAHook`, such as
            ``ema_type='mmdet.ExpMomentumEMA'`` and ``momentum``.
    """

    #: Under which weak losses find the averaged model.
    name = 'ema'

    def __init__(self, **kwargs) -> None:
        kwargs.setdefault('update_buffers', True)
        super().__init__(**kwargs)
        self._handed_over = False

    def before_run(self, runner) -> None:
        """Copy the model."""
        super().before_run(runner)
        self._handed_over = False
        if not hasattr(unwrapped(self.src_model), 'set_teacher'):
            raise UserError(
                f'{type(self.src_model).__name__} takes no predictor '
                '(set_teacher); use MultiTaskDetector, or EMAHook for '
                'averaging alone')

    def before_train(self, runner) -> None:
        """After resuming: hand over the average that has been loaded."""
        super().before_train(runner)
        if self.ema_model.steps > 0:
            self._hand_over()

    def after_train_iter(self,
                         runner,
                         batch_idx: int,
                         data_batch: DATA_BATCH = None,
                         outputs: Optional[dict] = None) -> None:
        """Update the average; after the first update hand it over."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if not self._handed_over and self._ema_started(runner):
            self._hand_over()

    def _hand_over(self) -> None:
        predictor = self.ema_model.module.eval()
        self.src_model.set_teacher(self.name, predictor)
        self._handed_over = True
