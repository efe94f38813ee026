# Copyright (c) mmbombo contributors.
from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING, Dict, List, Optional, Set

from mmdet.structures import DetDataSample
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmbombo.models.context import StepContext
from mmbombo.structures.class_names import require_same_classes
from mmbombo.utils import UserError
from mmbombo.utils.unknown_arguments import argument_names, did_you_mean

if TYPE_CHECKING:
    from mmbombo.models.detectors import MultiTaskDetector


class BaseWeakLoss(BaseModule, metaclass=ABCMeta):
    """A loss for a task on images that lack the task's annotation.

    Args:
        loss_weight (float): Weight of the loss (the papers' lambda). Defaults
            to 1.
        ramp (float): Share of the training over which the weight grows
            linearly from 0. Defaults to 0, the full weight from the start.
        start (float): Share of the training after which the loss begins.
            Defaults to 0.
    """

    #: Prefix of the losses and diagnostics in the log.
    name: str
    #: Task that is supervised.
    task: str
    #: Name of the head that is taught; None for the one that serves the task.
    head: Optional[str] = None
    #: Annotation kind that the weak label is made from; None if it is made
    #: from no annotation.
    source_kind: Optional[str]
    #: Fields that a sample needs for the loss, and what to say without one.
    required_fields: Dict[str, str] = {}
    #: Network that is asked for the weak label: 'self', 'ema' or a teacher's
    #: name; 'none' for nobody.
    predictor: str = 'none'
    #: Whether it writes to ``ctx.pseudo_labels``.
    labels_pixels: bool = False
    #: Whether the class map is read.
    needs_class_map: bool = False

    def __init__(self,
                 loss_weight: float = 1.,
                 ramp: float = 0.,
                 start: float = 0.,
                 **unknown) -> None:
        super().__init__()
        for key in unknown:
            known = did_you_mean(key, argument_names(type(self)))
            raise UserError(f'{type(self).__name__} got an unexpected keyword '
                            f'argument {key!r}{known}')
        # NaN is in no range
        if not (0 <= loss_weight < float('inf') and 0 <= ramp <= 1
                and 0 <= start <= 1):
            raise UserError(
                f'{type(self).__name__}: loss_weight={loss_weight} must be '
                f'finite and not negative, and start={start} and ramp={ramp} '
                'must lie in [0, 1]')
        self.loss_weight = loss_weight
        self.ramp = ramp
        self.start = start

    def check_model(self, model: 'MultiTaskDetector') -> None:
        """Raise ``UserError`` if this loss cannot train the network."""
        if self.task not in model.tasks:
            raise UserError(
                f"{type(self).__name__} supervises the task '{self.task}', "
                f'but the model has only {sorted(model.tasks)}')
        # it must be clear whom to teach
        model.head_name(self.head or self.task)
        if self.needs_class_map and model.class_map is None:
            raise UserError(
                f'{type(self).__name__} makes labels of one task from the '
                "other's: give the model a class_map, if only class_map="
                'dict() beside `classes`')
        same = [x for x in model.weak_losses if x.name == self.name]
        if len(same) > 1:
            raise UserError(
                f"the model has {len(same)} weak losses named '{self.name}' "
                f'({type(self).__name__}); one of them would be lost')

    def check_teacher(self, model: 'MultiTaskDetector',
                      teacher: nn.Module) -> None:
        """Raise ``UserError`` if a network cannot teach the model."""
        if self.task not in teacher.tasks:
            raise UserError(
                f"{type(self).__name__} asks the teacher '{self.predictor}' "
                f"for the task '{self.task}', but it has only "
                f'{sorted(teacher.tasks)}')
        require_same_classes(
            *(x.classes.get(self.task, ()) for x in (model, teacher)),
            ('the student', 'the teacher'),
            f"the teacher '{self.predictor}' knows other classes of the task "
            f"'{self.task}'")

    def annotated(self, ctx: StepContext) -> Set[int]:
        """Positions of the images that supervise the head."""
        head = ctx.model.head_name(self.head or self.task)
        return set(ctx.annotated(self.task, head))

    def images(self, ctx: StepContext) -> List[int]:
        """Positions of the images that have the source kind, and no annotation
        that supervises the head."""
        annotated = self.annotated(ctx)
        return [
            i for i in ctx.with_kind(self.source_kind) if i not in annotated
        ]

    def check_sample(self, sample: DetDataSample) -> None:
        """Raise ``UserError`` if a sample lacks what its pipeline prepares."""
        for field, problem in self.required_fields.items():
            if field not in sample:
                raise UserError(f'{sample.get("img_path")} {problem}')

    def head_images(self, ctx: StepContext) -> Dict[str, List[int]]:
        """Name of a head, or a task that one head serves, to the positions of
        the images on which it must run.

        A loss that asks for features only says nothing; one that makes a label
        of one task from what the network says of another names both.
        """
        return {self.task: self.images(ctx)}

    def has_started(self, ctx: StepContext) -> bool:
        """Whether the loss has begun at this point of the training."""
        return ctx.progress >= self.start

    def weight(self, ctx: StepContext) -> float:
        """Weight of the loss at this point of the training."""
        if not self.ramp:
            return self.loss_weight
        grown = (ctx.progress - self.start) / self.ramp
        return self.loss_weight * min(1., grown)

    def forward(self, ctx: StepContext) -> Dict[str, Tensor]:
        """Weighted losses, and diagnostics; empty if no image needs them."""
        images = self.images(ctx)
        if not images:
            return {}
        weight = self.weight(ctx)
        return {
            key: scale(value, weight) if 'loss' in key else value
            for key, value in self.loss(ctx, images).items()
        }

    @abstractmethod
    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """Losses on n >= 1 images before weighting, and diagnostics."""


def scale(loss, weight: float):
    """Multiply a loss, or each of a list of losses, by a weight."""
    if isinstance(loss, (list, tuple)):
        return [x * weight for x in loss]
    return loss * weight


#: NMS of the predictions that a weak loss learns from.
NMS_IOU_THR = 0.5


def decode_cfg(score_thr: float, max_predictions: int) -> dict:
    """Post-processing of the predictions that a weak loss learns from."""
    return dict(
        score_thr=score_thr,
        nms=dict(type='nms', iou_threshold=NMS_IOU_THR),
        max_per_img=max_predictions)
