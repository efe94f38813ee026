# Copyright (c) mmbombo contributors.
from typing import Dict, List

from torch import Tensor

from mmbombo.models.context import StepContext
from mmbombo.models.utils import zero_loss
from mmbombo.utils import UserError
from ..base_weak_loss import BaseWeakLoss


class DistillationLoss(BaseWeakLoss):
    """A weak loss whose targets come from another network.

    The network is a frozen teacher (:class:`TeacherHook`) or the moving
    average of the student itself (:class:`PredictorEMAHook`). It sees the
    same, already normalized images and runs once per image, whichever and
    how many losses ask it.

    Args:
        teacher (str): Name of the network, as the hook gives it.
        on (str): Which images: 'unannotated', those that lack the task's
            annotation, or 'all'. Defaults to 'unannotated'.
        **kwargs: Arguments of :class:`BaseWeakLoss`.
    """

    #: No annotation is needed.
    source_kind = None

    def __init__(self,
                 teacher: str,
                 on: str = 'unannotated',
                 **kwargs) -> None:
        super().__init__(**kwargs)
        if teacher in ('self', 'none'):
            raise UserError(
                f'{type(self).__name__}: teacher={teacher!r} is not another '
                "network; give the name of a TeacherHook, or 'ema' for the "
                "student's moving average (PredictorEMAHook)")
        if on not in ('unannotated', 'all'):
            raise UserError(f"{type(self).__name__}: on must be 'unannotated'"
                            f" or 'all', not {on!r}")
        self.predictor = teacher
        self.on = on

    def images(self, ctx: StepContext) -> List[int]:
        """Positions of the images that this loss is for."""
        images = range(len(ctx.samples))
        if self.on == 'all':
            return list(images)
        annotated = self.annotated(ctx)
        return [i for i in images if i not in annotated]

    def forward(self, ctx: StepContext) -> Dict[str, Tensor]:
        """Compute the weighted loss.

        Before the first update of a moving average there is nobody to learn
        from, and the loss is an exact zero that touches the parameters that
        belong to it.
        """
        if ctx.model.teachers.get(self.predictor) is not None:
            return super().forward(ctx)
        if self.predictor != 'ema':
            raise UserError(
                f"{type(self).__name__} asks for the teacher "
                f"'{self.predictor}', which no hook provides; add dict(type="
                f"'TeacherHook', name='{self.predictor}', config=..., "
                'checkpoint=...) to custom_hooks')
        return zero_loss(self, 'loss_no_teacher')
