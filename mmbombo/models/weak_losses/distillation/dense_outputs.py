# Copyright (c) mmbombo contributors.
"""What the outputs of a dense head mean, so that they can be compared."""
from typing import Any, List, NamedTuple, Optional, Sequence

import torch
from mmdet.models.dense_heads import AnchorHead, FCOSHead, GFLHead, RTMDetHead
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from torch import Tensor, nn

from mmbombo.models.task_heads import DetTaskHead
from mmbombo.models.task_heads.det_task_head import MODE_DEPENDENT_HEADS
from mmbombo.models.utils import evaluation_mode, prior_offset
from mmbombo.utils import UserError

#: What a head says about a box: coded differences from an anchor, distances
#: in pixels from a point to the four sides, or a distribution of each such
#: distance.
OFFSETS, DISTANCES, DISTRIBUTIONS = 'offsets', 'distances', 'distributions'


class DenseOutputs(NamedTuple):
    """Outputs of a dense head for n images, K cells and A anchors a cell."""
    scores: Tensor  #: class logits ``(n, K, A, C)``
    #: ``(n, K, A, 4)`` offsets, or distances in strides; ``(n, K, A, 4, R)``
    #: logits of distributions
    boxes: Tensor
    #: logits ``(n, K, A, 1)`` of a further quality of the box, which
    #: multiplies the scores
    centerness: Optional[Tensor]


def regression_of(head: nn.Module) -> str:
    """What a head says about a box, such as :data:`OFFSETS`; else
    ``UserError``."""
    if not isinstance(head, MODE_DEPENDENT_HEADS):
        if isinstance(head, GFLHead):
            return DISTRIBUTIONS
        if isinstance(head, (FCOSHead, RTMDetHead)):
            return DISTANCES
        coder = getattr(head, 'bbox_coder', None)
        if isinstance(head, AnchorHead) and isinstance(coder,
                                                       DeltaXYWHBBoxCoder):
            return OFFSETS
    raise UserError(
        f'the raw outputs of {type(head).__name__} cannot be distilled: '
        'offsets from anchors (RetinaHead, ATSSHead, ...), distances '
        '(FCOSHead, RTMDetHead) and distributions (GFLHead) can. Use '
        'PseudoBoxLoss, which takes decoded boxes')


def flatten_outputs(task_head: DetTaskHead, outputs: Any) -> DenseOutputs:
    """Outputs of a head in evaluation mode, in a common layout.

    Cells come level by level and row by row.
    """
    head = task_head.head
    scores, boxes, *others = outputs
    num_anchors = scores[0].shape[1] // head.num_classes
    regression = regression_of(head)
    if regression == DISTANCES:
        boxes = [
            x / stride[0]
            for x, stride in zip(boxes, head.prior_generator.strides)
        ]
    boxes = flatten_levels(boxes, num_anchors)
    if regression == DISTRIBUTIONS:
        boxes = boxes.unflatten(3, (4, -1))
    return DenseOutputs(
        flatten_levels(scores, num_anchors), boxes,
        flatten_levels(others[0], num_anchors) if others else None)


def has_centerness(head: nn.Module) -> bool:
    """Whether a dense head says more than scores and boxes."""
    weight = next(head.parameters())
    feats = [
        weight.new_zeros(1, head.in_channels, 16, 16)
        for _ in head.prior_generator.strides
    ]
    with evaluation_mode(head), torch.no_grad():
        return len(head(feats)) > 2


def flatten_levels(maps: Sequence[Tensor], num_anchors: int) -> Tensor:
    """Maps ``(n, A * D, H_l, W_l)`` as ``(n, K, A, D)``."""
    return torch.cat([
        x.flatten(2).transpose(1, 2).unflatten(2, (num_anchors, -1))
        for x in maps
    ],
                     dim=1)


def sizes_of(maps: Sequence[Tensor]) -> List[tuple]:
    """Height and width of each map."""
    return [tuple(x.shape[-2:]) for x in maps]


def misalignment(student: nn.Module, teacher: nn.Module) -> List[str]:
    """How the outputs of two dense heads fail to mean the same, in words."""
    ours, theirs = describe(student), describe(teacher)
    return [
        f'{key}: {ours.get(key)} in the student, {theirs.get(key)} in the '
        'teacher' for key in {
            **ours,
            **theirs
        } if ours.get(key) != theirs.get(key)
    ]


def describe(head: nn.Module) -> dict:
    """What must be equal for the outputs of two heads to be comparable."""
    priors, regression = head.prior_generator, regression_of(head)
    facts = {
        'box outputs': regression,
        'further quality of a box (centerness)': has_centerness(head),
        'strides': [tuple(stride) for stride in priors.strides]
    }
    if regression == OFFSETS:
        coder = head.bbox_coder
        facts['means and deviations of the offsets'] = (tuple(coder.means),
                                                        tuple(coder.stds))
        facts['anchors'] = [[[round(float(x), 3) for x in anchor]
                             for anchor in level]
                            for level in priors.base_anchors]
        return facts
    facts['offset of a cell'] = prior_offset(priors)
    if regression == DISTRIBUTIONS:
        facts['reg_max'] = head.reg_max
    return facts
