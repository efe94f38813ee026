# Copyright (c) mmbombo contributors.
from typing import Dict, List

from torch import Tensor

from mmbombo.models.context import StepContext
from mmbombo.models.losses.dist_mean import full_precision, weighted_mean
from mmbombo.models.losses.feature_losses import disagreement, pdf_score_loss
from mmbombo.models.losses.kl_divergence import temperature_kl
from mmbombo.registry import MODELS
from .feature_distillation import FeatureDistillation
from .soft_detection import DenseHeadDistillation


@MODELS.register_module()
class PDFLoss(FeatureDistillation, DenseHeadDistillation):
    """Learn a teacher's features where the predictions disagree.

    The three terms of MulTaS' released code: features weighted by the
    disagreement of the class scores, scores weighted by their squared
    difference, and the mean distance of the boxes, L1 for offsets and
    distances, and (ours) the divergence for the distributions of GFL. Where
    both heads agree everywhere the features cost zero, not 0 / 0.

    Args:
        teacher (str): Name of the teacher.
        **kwargs: Arguments of :class:`FeatureDistillation`.
    """

    name = 'pdf_det'

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """``loss_feature``, ``loss_score`` and ``loss_box``."""
        distance, valid, _ = self.distance(ctx, images)
        student, teacher, _ = self.dense_outputs(ctx, images)
        weights = disagreement(student.scores, teacher.scores)
        if student.boxes.dim() == 5:
            boxes = temperature_kl(student.boxes, teacher.boxes, dim=4)
        else:
            boxes = (full_precision(student.boxes) -
                     full_precision(teacher.boxes)).abs()
        return dict(
            loss_feature=self.feature_weight *
            weighted_mean(distance, weights * valid),
            loss_score=pdf_score_loss(student.scores, teacher.scores, valid),
            loss_box=weighted_mean(boxes, valid[:, :, None, None]))
