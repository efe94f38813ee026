# Copyright (c) mmbombo contributors.
from typing import Dict, List

from torch import Tensor

from mmbombo.models.context import StepContext
from mmbombo.models.losses.distillation import segmentation_kl
from mmbombo.models.utils import valid_cells
from mmbombo.registry import MODELS
from .distillation_loss import DistillationLoss


@MODELS.register_module()
class SegmentationKLLoss(DistillationLoss):
    """Learn a teacher's class distribution of each pixel.

    At the resolution of the student's logits, which for most heads is a
    quarter of the image; the padding of the images does not count. Our
    reconstruction, see
    :func:`~mmbombo.models.losses.distillation.segmentation_kl`.

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

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """``loss_kl``, the mean divergence of a pixel."""
        student = ctx.logits(self.task, images)
        teacher = ctx.outputs_of(self.predictor, self.task, images)[0]
        valid = valid_cells(
            ctx.metas(images), student.shape[-2:], ctx.inputs.shape[-2:],
            student.device)
        return dict(
            loss_kl=segmentation_kl(student, teacher, valid, self.temperature))
