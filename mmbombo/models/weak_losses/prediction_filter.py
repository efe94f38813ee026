# Copyright (c) mmbombo contributors.
from typing import Dict, List, Tuple

import torch
from torch import Tensor

from mmbombo.models.context import StepContext
from mmbombo.registry import TASK_UTILS
from mmbombo.utils import UserError
from mmbombo.weak_labels import filter_predictions
from .padded_boxes import PaddedBoxes


@TASK_UTILS.register_module()
class PredictionFilter:
    """Make pseudo masks from predictions that agree with the boxes.

    See :mod:`mmbombo.weak_labels.prediction_filter` for the rules. Until
    predictions are worth something, the prepared masks are used. In our
    ablation, where it asked the network itself, the prepared masks alone were
    no worse. The figures are in ``docs/en/user_guides/weak_losses.md``, and
    for all runs in ``docs/en/notes/ablation.md``.

    Args:
        predictor (str): Who predicts: 'ema', the network's moving average in
            evaluation mode, which needs :class:`PredictorEMAHook`; 'self',
            the network as it stands, at no extra forward pass; or the name of
            a :class:`TeacherHook`. Defaults to 'ema'.
        start (float): Share of the training from which on predictions are
            used. Defaults to 0.3.
    """

    def __init__(self, predictor: str = 'ema', start: float = 0.3) -> None:
        if predictor == 'none':
            raise UserError('PredictionFilter needs a predictor')
        self.predictor = predictor
        self.start = start

    @torch.no_grad()
    def __call__(self, ctx: StepContext, images: List[int],
                 prepared: Tensor) -> Tuple[Tensor, Dict[str, Tensor]]:
        """Filter the predictions of some images.

        Args:
            ctx (StepContext): The current batch.
            images (list[int]): Positions of n >= 1 images with boxes.
            prepared (Tensor): ``(n, 1, H, W)`` int64, their masks.

        Returns:
            tuple: Masks ``(n, 1, H, W)``, and ``num_empty``, how many boxes
            no prediction agrees with.
        """
        if ctx.progress < self.start:
            return prepared, {}
        predicted = ctx.predict('seg', images, self.predictor)
        if predicted is None:
            return prepared, {}
        table = PaddedBoxes.from_samples([ctx.samples[i] for i in images],
                                         ctx.class_map)
        shows = ctx.class_map.compatible_on(prepared.device).T
        agrees = shows[table.labels] & table.certain[..., None]
        mask, empty = filter_predictions(predicted[:, 0], prepared[:, 0],
                                         table.boxes, agrees)
        return mask[:, None], dict(num_empty=empty.sum().float())
