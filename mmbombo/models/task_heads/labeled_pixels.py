# Copyright (c) mmbombo contributors.
from typing import Optional

import torch
from mmengine.dist import get_world_size
from torch import Tensor, nn

from mmbombo.models.losses.dist_mean import ratio_over_ranks, sum_over_ranks
from mmbombo.models.losses.marginal_likelihood import marginal_nll
from mmbombo.structures import IGNORE_INDEX
from mmbombo.structures.candidate_map import CandidateMap


class LossWrapper(nn.Module):
    """A decode loss of MMSegmentation inside one of ours, by its own name."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    @property
    def loss_name(self) -> str:
        """str: Name of the wrapped loss."""
        return self.loss.loss_name


class LabeledPixelMean(LossWrapper):
    """Make a cross-entropy the mean over all labeled pixels of all ranks.

    MMSegmentation's :class:`CrossEntropyLoss` divides by all pixels, so that
    unlabeled ones dilute the loss; with ``avg_non_ignore`` it divides by the
    labeled pixels of one rank, so that ranks with few of them weigh more
    than their share, and waits for the device to count them. Here the wrapped
    loss keeps dividing by all pixels, and its result is rescaled with counts
    that never leave the device. A map without any label costs exactly zero.

    With class weights a softmax's mean weighs each pixel by its class. (The
    division of MMSegmentation 1.2.2 then fails on unlabeled pixels.)
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__(loss)
        self.loss.avg_non_ignore = False
        # a sigmoid's class weights are those of its positive side, and it
        # divides by the channels too
        self.weighted = (
            loss.class_weight is not None and not loss.use_sigmoid)
        if self.weighted:
            self.register_buffer(
                'weights',
                torch.tensor(loss.class_weight, dtype=torch.float),
                persistent=False)

    def forward(self,
                cls_score: Tensor,
                label: Tensor,
                weight: Tensor = None,
                ignore_index: int = 255,
                **kwargs) -> Tensor:
        """The loss of logits ``(N, C, H, W)`` on class ids ``(N, H, W)``."""
        num_pixels = label.numel()
        loss = self.loss(
            cls_score,
            label,
            weight=weight,
            avg_factor=num_pixels if self.weighted else None,
            ignore_index=ignore_index,
            **kwargs)
        labeled = label != ignore_index
        if self.weighted:
            mass = (self.weights[label * labeled] * labeled).sum()
        else:
            mass = labeled.sum().to(loss)
        total = sum_over_ranks(mass).clamp(min=1e-6)
        scale = loss.new_full((), num_pixels) * get_world_size() / total
        return loss * scale.masked_fill(mass == 0, 0.)

    def on_candidates(self,
                      cls_score: Tensor,
                      candidates: CandidateMap,
                      weight: Optional[Tensor] = None) -> Tensor:
        """The loss where some pixels are left with several classes.

        A softmax learns that one of them is right, see :func:`marginal_nll`.
        The mean is over all pixels where not any class is possible. Those with
        several classes weigh 1: no class weight, no sampler is about them;
        ``weight`` ``(N, H, W)`` is that of pixels with one class.
        """
        single = candidates.single_classes()[:, 0]
        is_single = single != IGNORE_INDEX
        mass = candidates.known[:, 0].float()  # half precision overflows
        if self.weighted:
            mass = torch.where(is_single, self.weights[single * is_single],
                               mass)
        if weight is not None:
            weight = weight.to(mass).where(is_single, 1.)
        losses = marginal_nll(cls_score, candidates) * mass
        losses = losses * self.loss.loss_weight
        if weight is not None:
            losses = losses * weight
        return ratio_over_ranks(losses.sum(), mass.sum(), 1e-6)


class LabeledPixelsOnly(LossWrapper):
    """Keep a loss of MMSegmentation from teaching unlabeled pixels.

    Some losses know ``ignore_index`` in part only: :class:`DiceLoss` leaves
    ignored pixels in its denominator, and without a label costs its full
    weight; :class:`LovaszLoss` then is NaN. Here no gradient reaches ignored
    pixels, and maps without any label cost exactly zero. Beyond that the value
    is the loss's own, ignored pixels in a denominator included.
    """

    def forward(self,
                cls_score: Tensor,
                label: Tensor,
                ignore_index: int = 255,
                **kwargs) -> Tensor:
        """The loss of logits ``(N, C, H, W)`` on class ids ``(N, H, W)``."""
        labeled = label != ignore_index
        seen = torch.where(labeled[:, None], cls_score, cls_score.detach())
        loss = self.loss(seen, label, ignore_index=ignore_index, **kwargs)
        # without labels, some give a value per pixel
        return loss.mean().masked_fill(~labeled.any(), 0.)
