# Copyright (c) mmbombo contributors.
from typing import TYPE_CHECKING, Dict, List

from torch import Tensor, nn

from mmbombo.models.context import StepContext
from mmbombo.models.losses.kl_divergence import segmentation_kl
from mmbombo.models.utils import valid_cells
from mmbombo.registry import MODELS
from mmbombo.utils import UserError
from .distillation_loss import DistillationLoss

if TYPE_CHECKING:
    from mmbombo.models.detectors import MultiTaskDetector


@MODELS.register_module()
class SegmentationKLLoss(DistillationLoss):
    """Learn a teacher's class distribution of each pixel.

    At the resolution of the student's logits, which for most heads is a
    quarter of the image; the padding of the images does not count. Our
    reconstruction, see
    :func:`~mmbombo.models.losses.kl_divergence.segmentation_kl`.

    Args:
        teacher (str): Name of the teacher.
        temperature (float): Softens both distributions. Defaults to 1.
        **kwargs: Arguments of :class:`DistillationLoss`.
    """

    name = 'kl_seg'
    task = 'seg'

    def __init__(self,
                 teacher: str,
                 temperature: float = 1.,
                 **kwargs) -> None:
        super().__init__(teacher, **kwargs)
        self.temperature = temperature

    def check_teacher(self, model: 'MultiTaskDetector',
                      teacher: nn.Module) -> None:
        """Raise ``UserError`` if the number of channels differs.

        As between a sigmoid and a softmax over background and foreground.
        """
        super().check_teacher(model, teacher)
        ours, theirs = (
            x.head(self.task).head.out_channels for x in (model, teacher))
        if ours != theirs:
            raise UserError(
                f'SegmentationKLLoss: the student has {ours} channels of '
                f"logits, the teacher '{self.predictor}' {theirs}")

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """``loss_kl``, the mean divergence of a pixel."""
        student = ctx.logits(self.task, images)
        teacher = ctx.outputs_of(self.predictor, self.task, images)[0]
        valid = valid_cells(
            ctx.metas(images), student.shape[-2:], ctx.inputs.shape[-2:],
            student.device)
        return dict(
            loss_kl=segmentation_kl(student, teacher, valid, self.temperature))
