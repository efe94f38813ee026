# Copyright (c) mmbombo contributors.
import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn


class LabelledPixelMean(nn.Module):
    """Make a cross-entropy the mean over all labelled pixels of all ranks.

    MMSegmentation's :class:`CrossEntropyLoss` divides by all pixels, so that
    unlabelled ones dilute the loss; with ``avg_non_ignore`` it divides by the
    labelled pixels of one rank, so that ranks with few of them weigh more
    than their share, and waits for the device to count them. Here the wrapped
    loss keeps dividing by all pixels, and its result is rescaled with counts
    that never leave the device. A map without any label costs exactly zero.

    Args:
        loss (nn.Module): A ``mmseg.CrossEntropyLoss``.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss
        self.loss.avg_non_ignore = False

    @property
    def loss_name(self) -> str:
        """str: Name of the wrapped loss."""
        return self.loss.loss_name

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
            ignore_index (int): Label of unlabelled pixels. Defaults to 255.

        Returns:
            Tensor: A scalar.
        """
        loss = self.loss(
            cls_score,
            label,
            weight=weight,
            ignore_index=ignore_index,
            **kwargs)
        labelled = label != ignore_index
        if self.loss.class_weight is None:
            divided_by = loss.new_tensor(float(label.numel()))
            mass = labelled.sum().to(loss)
        else:
            # with class weights the wrapped loss divides by the weights of
            # the labelled pixels
            weights = loss.new_tensor(self.loss.class_weight)
            mass = (weights[label * labelled] * labelled).sum()
            divided_by = mass
        total = mass.detach().clone()
        all_reduce(total)
        scale = divided_by * get_world_size() / total.clamp(min=1e-6)
        # without a labelled pixel the wrapped loss may be 0 / 0
        return torch.where(mass > 0, loss * scale, cls_score.sum() * 0.)
