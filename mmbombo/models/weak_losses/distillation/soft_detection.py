# Copyright (c) mmbombo contributors.
from typing import TYPE_CHECKING, Dict, List, Tuple

from torch import Tensor, nn

from mmbombo.models.context import StepContext
from mmbombo.models.losses.dist_mean import full_precision, ratio_over_ranks
from mmbombo.models.losses.distillation import (binary_kl, soft_offset_loss,
                                                soft_score_loss,
                                                temperature_kl)
from mmbombo.models.utils import valid_cells_of_levels
from mmbombo.registry import MODELS
from mmbombo.utils import UserError
from .dense_outputs import (DenseOutputs, flatten_outputs, misalignment,
                            regression_of, sizes_of)
from .distillation_loss import DistillationLoss

if TYPE_CHECKING:
    from mmbombo.models.detectors import MultiTaskDetector


class DenseHeadDistillation(DistillationLoss):
    """Base of the losses that compare raw outputs of two dense heads.

    The heads must say the same about the same cells; other networks can teach
    by their decoded boxes, see :class:`PseudoBoxLoss`.
    """

    task = 'det'

    def check_model(self, model: 'MultiTaskDetector') -> None:
        """Raise ``UserError`` if the head has no comparable outputs."""
        super().check_model(model)
        regression_of(model.head(self.task).head)

    def check_teacher(self, model: 'MultiTaskDetector',
                      teacher: nn.Module) -> None:
        """Raise ``UserError`` if the outputs of the heads are not aligned."""
        super().check_teacher(model, teacher)
        heads = [x.head(self.task).head for x in (model, teacher)]
        differences = misalignment(*heads)
        if differences:
            raise UserError(
                f'{type(self).__name__}: the outputs of the '
                f"{type(heads[1]).__name__} of the teacher '{self.predictor}' "
                f"and the student's {type(heads[0]).__name__} are not "
                f'aligned: {"; ".join(differences)}. Use PseudoBoxLoss, which '
                'works for any two detectors')

    def dense_outputs(
            self, ctx: StepContext,
            images: List[int]) -> Tuple[DenseOutputs, DenseOutputs, Tensor]:
        """Outputs of student and teacher, and the cells in the images."""
        head = ctx.model.head(self.task)
        outputs = head.as_evaluation_outputs(ctx.outputs(self.task, images))
        teacher = ctx.model.teachers.get(self.predictor)
        valid = valid_cells_of_levels(
            ctx.metas(images), sizes_of(outputs[0]), ctx.inputs.shape[-2:],
            ctx.inputs.device)
        return (flatten_outputs(head, outputs),
                flatten_outputs(
                    teacher.head(self.task),
                    ctx.outputs_of(self.predictor, self.task, images)), valid)


@MODELS.register_module()
class SoftDetectionLoss(DenseHeadDistillation):
    """Learn the scores and boxes of a teacher, cell by cell.

    Scores: the focal-weighted divergence of
    :func:`~mmbombo.models.losses.distillation.soft_score_loss`. Boxes:
    balanced L1 of offsets from anchors, as in MulTaS' released code, or of
    distances in strides (FCOS, RTMDet; ours); for the distributions of GFL
    the divergence of `Localization Distillation
    <https://arxiv.org/abs/2102.12252>`_, mean over the four sides. A
    centerness is learned by its divergence.

    The released code takes the mean over all anchors (``weigh_by='anchors'``,
    with ``score_weight=5e3``), so that the weight must grow with their number
    and boxes of the background are learned as much as those of objects. Ours,
    ``weigh_by='teacher'``: with c the square of a teacher's best class score
    at an anchor, scores are summed, boxes are weighted by c, and both are
    divided by the sum of c, at least 1. The square keeps the many low scores
    of the background from outweighing the objects.

    Args:
        teacher (str): Name of the teacher.
        weigh_by (str): 'teacher' or 'anchors'. Defaults to 'teacher'.
        score_weight (float): Weight of the scores. Defaults to 1.
        box_weight (float): Weight of the boxes. Defaults to 1.
        temperature (float): Of distributions. Defaults to 1.
        **kwargs: Arguments of :class:`DistillationLoss`.
    """

    name = 'soft_det'

    def __init__(self,
                 teacher: str,
                 weigh_by: str = 'teacher',
                 score_weight: float = 1.,
                 box_weight: float = 1.,
                 temperature: float = 1.,
                 **kwargs) -> None:
        super().__init__(teacher, **kwargs)
        if weigh_by not in ('teacher', 'anchors'):
            raise UserError("weigh_by of SoftDetectionLoss must be 'teacher' "
                            f"or 'anchors', not {weigh_by!r}")
        self.weigh_by = weigh_by
        self.score_weight = score_weight
        self.box_weight = box_weight
        self.temperature = temperature

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """``loss_score``, ``loss_box`` and perhaps ``loss_centerness``."""
        student, teacher, valid = self.dense_outputs(ctx, images)
        weights = self._anchor_weights(teacher.scores, valid)
        inside = valid[:, :, None, None]
        scores = soft_score_loss(student.scores, teacher.scores) * inside
        boxes = box_loss(student.boxes, teacher.boxes, self.temperature)
        entries = weights.sum()
        if self.weigh_by == 'anchors':
            entries = entries * scores.shape[3]
        losses = dict(
            loss_score=self.score_weight *
            ratio_over_ranks(scores.sum(), entries),
            loss_box=self.box_weight * ratio_over_ranks(
                (boxes.mean(dim=3, keepdim=True) * weights).sum(),
                weights.sum()))
        if student.centerness is not None:
            centerness = binary_kl(
                full_precision(student.centerness),
                full_precision(teacher.centerness))
            losses['loss_centerness'] = ratio_over_ranks(
                (centerness * weights).sum(), weights.sum())
        return losses

    def _anchor_weights(self, scores: Tensor, valid: Tensor) -> Tensor:
        """Weights ``(n, K, A, 1)``, zero in the padding."""
        inside = valid[:, :, None, None]
        if self.weigh_by == 'anchors':
            return inside.float().expand(*scores.shape[:3], 1)
        best = full_precision(scores).sigmoid().amax(dim=3, keepdim=True)
        return best.square() * inside


def box_loss(student: Tensor,
             teacher: Tensor,
             temperature: float = 1.) -> Tensor:
    """Distance ``(n, K, A, 4)`` of box outputs, see :class:`DenseOutputs`."""
    if student.dim() == 5:
        return temperature_kl(student, teacher, temperature, dim=4)
    return soft_offset_loss(student, teacher)
