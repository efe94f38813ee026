# Copyright (c) mmbombo contributors.
import torch
from mmengine.dist import get_world_size
from torch import Tensor, nn

from mmbombo.models.losses.dist_mean import sum_over_ranks
from .loss_wrapper import LossWrapper


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

    Args:
        loss (nn.Module): A ``mmseg.CrossEntropyLoss``.
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
        """Compute the loss.

        Args:
            cls_score (Tensor): Logits ``(N, C, H, W)``.
            label (Tensor): Class ids ``(N, H, W)``.
            weight (Tensor, optional): Weights ``(N, H, W)``.
            ignore_index (int): Label of unlabeled pixels. Defaults to 255.

        Returns:
            Tensor: A scalar.
        """
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
