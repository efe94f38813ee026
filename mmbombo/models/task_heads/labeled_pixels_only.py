# Copyright (c) mmbombo contributors.
import torch
from torch import Tensor

from .loss_wrapper import LossWrapper


class LabeledPixelsOnly(LossWrapper):
    """Keep a loss of MMSegmentation from teaching unlabeled pixels.

    Some losses know ``ignore_index`` in part only: :class:`DiceLoss` leaves
    ignored pixels in its denominator, and without a label costs its full
    weight; :class:`LovaszLoss` then is NaN. Here no gradient reaches ignored
    pixels, and maps without any label cost exactly zero. Beyond that the value
    is the loss's own, ignored pixels in a denominator included.

    Args:
        loss (nn.Module): A decode loss.
    """

    def forward(self,
                cls_score: Tensor,
                label: Tensor,
                ignore_index: int = 255,
                **kwargs) -> Tensor:
        """Compute the loss.

        Args:
            cls_score (Tensor): Logits ``(N, C, H, W)``.
            label (Tensor): Class ids ``(N, H, W)``.
            ignore_index (int): Label of unlabeled pixels. Defaults to 255.
            **kwargs: What else the loss takes, such as ``weight``.

        Returns:
            Tensor: A scalar.
        """
        labeled = label != ignore_index
        seen = torch.where(labeled[:, None], cls_score, cls_score.detach())
        loss = self.loss(seen, label, ignore_index=ignore_index, **kwargs)
        # without labels, some give a value per pixel
        return loss.mean().masked_fill(~labeled.any(), 0.)
