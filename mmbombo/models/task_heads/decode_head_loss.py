# Copyright (c) mmbombo contributors.
from typing import Dict

import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmbombo.models.utils import grid_points
from mmbombo.structures import IGNORE_INDEX


def decode_head_loss(head: BaseDecodeHead, logits: Tensor,
                     labels: Tensor) -> Dict[str, Tensor]:
    """What ``BaseDecodeHead.loss_by_feat`` computes, but for the accuracy.

    MMSegmentation sorts the classes of every pixel for it and waits for the
    device to count, at 3 % of a step on a CPU.

    Args:
        head (BaseDecodeHead): Its losses, sampler and ``align_corners``.
        logits (Tensor): ``(n, C, h, w)``.
        labels (Tensor): Class ids ``(n, H, W)`` int64, 255 where unlabeled.
    """
    resized = F.interpolate(
        logits,
        size=labels.shape[-2:],
        mode='bilinear',
        align_corners=head.align_corners)
    weight = None
    if head.sampler is not None:
        weight = head.sampler.sample(resized, labels[:, None])
    functions = head.loss_decode
    if not isinstance(functions, nn.ModuleList):
        functions = [functions]
    losses: Dict[str, Tensor] = {}
    for function in functions:
        loss = function(
            resized, labels, weight=weight, ignore_index=head.ignore_index)
        name = function.loss_name
        losses[name] = losses[name] + loss if name in losses else loss
    return dict(losses, acc_seg=cell_accuracy(logits.detach(), labels))


def cell_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Percentage of the labeled cells whose largest logit is right.

    A cell is judged by the label in its center; 0 without a label.
    """
    ys, xs = grid_points(logits.shape[-2:], labels.shape[-2:], labels.device)
    labels = labels[:, ys.long()][..., xs.long()]
    labeled = labels != IGNORE_INDEX
    right = (logits.argmax(dim=1) == labels) & labeled
    return right.sum() * 100. / labeled.sum().clamp(min=1)
