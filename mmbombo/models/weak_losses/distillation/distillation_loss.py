# Copyright (c) mmbombo contributors.
from typing import TYPE_CHECKING, Dict, List, Sequence

from torch import Tensor, nn

from mmbombo.models.detectors.step_context import StepContext
from mmbombo.structures import BBOX
from ..base_weak_loss import BaseWeakLoss

if TYPE_CHECKING:
    from mmbombo.models.detectors import MultiTaskDetector


class DistillationLoss(BaseWeakLoss):
    """A weak loss whose targets come from another network.

    The network is a frozen teacher (:class:`TeacherHook`) or the moving
    average of the student itself (:class:`PredictorEMAHook`). It sees the
    same, already normalised images and runs once per image, whichever and
    how many losses ask it.

    Args:
        teacher (str): Name of the network, as the hook gives it.
        on (str): Which images: 'unannotated', those that lack the task's
            annotation, or 'all'. Defaults to 'unannotated'.
        loss_weight (float): Weight of the loss. Defaults to 1.
        ramp (float): Share of the training over which the weight grows
            linearly from 0. Defaults to 0.

    Raises:
        ValueError: If ``on`` is unknown.
    """

    #: No annotation is needed.
    source_kind = None

    def __init__(self,
                 teacher: str,
                 on: str = 'unannotated',
                 loss_weight: float = 1.,
                 ramp: float = 0.) -> None:
        super().__init__(loss_weight=loss_weight, ramp=ramp)
        if on not in ('unannotated', 'all'):
            raise ValueError(f"{type(self).__name__}: on must be 'unannotated'"
                             f" or 'all', not {on!r}")
        self.predictor = teacher
        self.on = on

    def check_model(self, model: 'MultiTaskDetector') -> None:
        """Raise if the network cannot be trained by this loss.

        Raises:
            ValueError: If the network lacks the task, or another loss writes
                the same keys, of which one would be lost.
        """
        super().check_model(model)
        same = [x for x in model.weak_losses if x.name == self.name]
        if len(same) > 1:
            raise ValueError(
                f"the model has {len(same)} weak losses named '{self.name}' "
                f'({type(self).__name__}); one of them would be lost')

    def check_teacher(self, model: 'MultiTaskDetector',
                      teacher: nn.Module) -> None:
        """Raise if a teacher cannot teach the network.

        Args:
            model (MultiTaskDetector): The student.
            teacher (MultiTaskDetector): The teacher.

        Raises:
            ValueError: If the teacher lacks the task or knows other classes.
        """
        if self.task not in teacher.task_heads:
            raise ValueError(
                f"{type(self).__name__} asks the teacher '{self.predictor}' "
                f"for the task '{self.task}', but it has only "
                f'{sorted(teacher.task_heads)}')
        kind = model.task_heads[self.task].annotation_kind
        ours, theirs = (
            x.class_map.det_classes if kind == BBOX else
            x.class_map.seg_classes for x in (model, teacher))
        if tuple(ours) != tuple(theirs):
            raise ValueError(
                f"the teacher '{self.predictor}' knows other classes of the "
                f"task '{self.task}': {class_difference(ours, theirs)}")

    def images(self, ctx: StepContext) -> List[int]:
        """Positions of the images that this loss is for."""
        images = range(len(ctx.samples))
        if self.on == 'all':
            return list(images)
        annotated = set(ctx.annotated(self.task))
        return [i for i in images if i not in annotated]

    def forward(self, ctx: StepContext) -> Dict[str, Tensor]:
        """Compute the weighted loss.

        Before the first update of a moving average there is nobody to learn
        from, and the loss is an exact zero that touches the parameters that
        belong to it.

        Args:
            ctx (StepContext): The current batch.

        Returns:
            dict[str, Tensor]: Losses, weighted, and diagnostics.

        Raises:
            RuntimeError: If nobody provides the teacher.
        """
        if ctx.model.predictors.get(self.predictor) is not None:
            return super().forward(ctx)
        if self.predictor != 'ema':
            raise RuntimeError(
                f"{type(self).__name__} asks for the teacher "
                f"'{self.predictor}', which no hook provides; add dict(type="
                f"'TeacherHook', name='{self.predictor}', config=..., "
                'checkpoint=...) to custom_hooks')
        parameters = list(self.parameters())
        if not parameters:
            return {}
        return dict(loss_no_teacher=sum(p.sum() for p in parameters) * 0.)


def class_difference(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """Say how the teacher's classes differ from the student's."""
    missing = [name for name in ours if name not in theirs]
    unknown = [name for name in theirs if name not in ours]
    if missing or unknown:
        return (f'only the student has {missing}, only the teacher has '
                f'{unknown}')
    return (f'same names in another order, {list(ours)} in the student, '
            f'{list(theirs)} in the teacher')
