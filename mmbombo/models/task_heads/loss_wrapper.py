# Copyright (c) mmbombo contributors.
from torch import nn


class LossWrapper(nn.Module):
    """A decode loss of MMSegmentation inside one of ours, by its own name.

    Args:
        loss (nn.Module): The decode loss.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    @property
    def loss_name(self) -> str:
        """str: Name of the wrapped loss."""
        return self.loss.loss_name
