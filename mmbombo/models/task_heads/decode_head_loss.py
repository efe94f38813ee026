# Copyright (c) mmbombo contributors.
from typing import Dict, Union

import torch.nn.functional as F
from torch import Tensor, nn

from mmbombo.models.utils import grid_points
from mmbombo.structures import IGNORE_INDEX
from mmbombo.structures.candidate_map import CandidateMap
from .labeled_pixels import LabeledPixelMean


def decode_head_loss(
        head: nn.Module, logits: Tensor,
        targets: Union[Tensor, CandidateMap]) -> Dict[str, Tensor]:
    """What ``BaseDecodeHead.loss_by_feat`` computes, but for the accuracy.

    MMSegmentation sorts the classes of every pixel for it and waits for the
    device to count, at 3 % of a step on a CPU.

    Logits are ``(n, C, h, w)``, targets class ids ``(n, 1, H, W)``, 255 where
    unlabeled, or sets of candidate classes. A softmax takes these, see
    :meth:`LabeledPixelMean.on_candidates`; pixel samplers and other losses
    see only the pixels that are left with one class.
    """
    candidates = targets if isinstance(targets, CandidateMap) else None
    labels = targets if candidates is None else candidates.single_classes()
    resized = F.interpolate(
        logits,
        size=labels.shape[-2:],
        mode='bilinear',
        align_corners=head.align_corners)
    weight = None
    if head.sampler is not None:
        weight = head.sampler.sample(resized, labels)
    functions = head.loss_decode
    if not isinstance(functions, nn.ModuleList):
        functions = [functions]
    losses: Dict[str, Tensor] = {}
    for function in functions:
        if candidates is not None and isinstance(
                function, LabeledPixelMean) and not function.loss.use_sigmoid:
            loss = function.on_candidates(resized, candidates, weight)
        else:
            loss = function(
                resized,
                labels[:, 0],
                weight=weight,
                ignore_index=head.ignore_index)
        name = function.loss_name
        losses[name] = losses[name] + loss if name in losses else loss
    return dict(losses, acc_seg=cell_accuracy(logits.detach(), targets))


def cell_accuracy(logits: Tensor, targets: Union[Tensor,
                                                 CandidateMap]) -> Tensor:
    """Percentage of the labeled cells whose largest logit is right.

    A cell is judged by the label in its center, or by the classes that are
    possible there; 0 without a label.
    """
    is_map = isinstance(targets, CandidateMap)
    pixels = targets.numbers if is_map else targets
    ys, xs = grid_points(logits.shape[-2:], pixels.shape[-2:], pixels.device)
    cells = pixels[..., ys.long(), :][..., xs.long()]
    labeled = cells != IGNORE_INDEX
    answers = logits.argmax(dim=1, keepdim=True)
    if is_map:
        right = targets._replace(numbers=cells).allow(answers) & labeled
    else:
        right = (answers == cells) & labeled
    return right.sum() * 100. / labeled.sum().clamp(min=1)
