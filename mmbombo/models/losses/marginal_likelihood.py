# Copyright (c) mmbombo contributors.
from typing import Any, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmbombo.structures.candidate_map import CandidateMap
from .dist_mean import full_precision

#: A class is taken to be at least so likely, so that the loss of a set that a
#: network excludes, and its gradient, are finite.
_SMALLEST = 1e-30


def marginal_nll(logits: Tensor, candidates: CandidateMap) -> Tensor:
    r"""Negative log-likelihood of sets of classes, ``(N, H, W)``, 0 where any
    class is possible.

    :math:`-\log \sum_{c \in S} p_c`, with :math:`p` the softmax of the logits
    ``(N, C, H, W)`` and :math:`S` the candidate classes of a pixel: the
    marginal likelihood of partial labels (Cour et al., JMLR 2011; for
    segmentation Cermelli et al., CVPR 2020). The cross-entropy is the case of
    one class.
    """
    logits = full_precision(logits)
    with torch.autocast(logits.device.type, enabled=False):
        loss = _MarginalNLL.apply(logits, candidates.rows[:, 0],
                                  candidates.classes.to(logits))
    return loss * candidates.known[:, 0]


class _MarginalNLL(torch.autograd.Function):
    """The loss of all pixels.

    A product of the softmax with the table of sets, from which each pixel
    takes its own, costs a fraction of a sum over each pixel's classes.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, rows: Tensor,
                classes: Tensor) -> Tensor:
        probs = logits.softmax(dim=1).clamp_(min=_SMALLEST)
        rows = rows.flatten(1)[:, None]
        inside = torch.bmm(classes, probs.flatten(2)).gather(1, rows)
        inside.clamp_(min=_SMALLEST)  # of padding
        ctx.save_for_backward(probs, rows, classes, inside)
        return inside.log().neg().view_as(logits[:, 0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None, None]:
        probs, rows, classes, inside = ctx.saved_tensors
        # p_c - [c in S] p_c / sum(p_S) = p_c (1 - [c in S] / sum(p_S))
        shares = probs.new_zeros(*classes.shape[:2], rows.size(2))
        shares.scatter_(1, rows, inside.reciprocal())
        grads = torch.bmm(classes.mT, shares).neg_().add_(1)
        grads.mul_(probs.flatten(2)).mul_(grad.flatten(1)[:, None])
        return grads.view_as(probs), None, None
