# Copyright (c) mmbombo contributors.
from typing import Dict, List, Tuple

from mmdet.utils import InstanceList
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmbombo.models.context import StepContext
from mmbombo.models.task_heads.ignore_regions import (IgnoreRegions, pad_boxes,
                                                      split_boxes)
from mmbombo.registry import MODELS
from mmbombo.utils import UserError
from ..base_weak_loss import decode_cfg
from .distillation_loss import DistillationLoss


@MODELS.register_module()
class PseudoBoxLoss(DistillationLoss):
    """Learn the decoded boxes of a teacher as if they were annotated.

    Works for any two detectors. Boxes that the teacher is sure of become
    targets of the student's own loss; boxes that it doubts are ignored for
    their class, being neither object nor background. Ours: the papers learn
    from raw outputs.

    Args:
        teacher (str): Name of the teacher.
        score_thr (float): Targets must score more. It suits the teacher's
            head: the scores of GFL rarely pass 0.5. Defaults to 0.3.
        doubt_thr (float): Boxes that score between this and ``score_thr`` are
            ignored. Defaults to 0.15.
        max_predictions (int): Boxes per image. Defaults to 30.
        **kwargs: Arguments of :class:`DistillationLoss`.
    """

    name = 'boxes_det'
    task = 'det'

    def __init__(self,
                 teacher: str,
                 score_thr: float = 0.3,
                 doubt_thr: float = 0.15,
                 max_predictions: int = 30,
                 **kwargs) -> None:
        super().__init__(teacher, **kwargs)
        if doubt_thr > score_thr:
            raise UserError(f'PseudoBoxLoss: doubt_thr={doubt_thr} must not '
                            f'be above score_thr={score_thr}')
        self.score_thr = score_thr
        self.decode_cfg = decode_cfg(doubt_thr, max_predictions)

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """Losses of the detection head, and how many boxes an image has."""
        found = ctx.predict(self.task, images, self.predictor, self.decode_cfg)
        targets, doubtful = split_by_score(found, self.score_thr)
        ignore = IgnoreRegions.from_instances(doubtful,
                                              len(ctx.classes[self.task]))
        for i, target in zip(images, targets):
            ctx.samples[i].pseudo_instances = target
        mean = sum(len(target) for target in targets) / len(images)
        return dict(
            ctx.loss(self.task, targets, images, ignore),
            boxes_per_image=ctx.inputs.new_full((), mean))


def split_by_score(found: InstanceList,
                   score_thr: float) -> Tuple[InstanceList, InstanceList]:
    """Part the boxes of a teacher into sure and doubtful ones: ``bboxes`` and
    ``labels`` of each image, in their order.

    Boxes without area, after clipping to the image, are neither.
    """
    boxes, valid = pad_boxes([x.bboxes for x in found])
    labels, scores = (
        pad_sequence([x.get(key) for x in found], batch_first=True)
        for key in ('labels', 'scores'))
    valid = valid & (boxes[..., 2:] > boxes[..., :2]).all(dim=2)
    sure = scores > score_thr
    return (split_boxes(boxes, labels,
                        valid & sure), split_boxes(boxes, labels,
                                                   valid & ~sure))
