# Copyright (c) mmbombo contributors.
from typing import Dict

from torch import Tensor, nn


def zero_loss(module: nn.Module) -> Dict[str, Tensor]:
    """An exact zero that touches every parameter of a module.

    For a step without an image for it, so that distributed training finds a
    gradient for each parameter.

    Args:
        module (nn.Module): A task head or a weak loss.

    Returns:
        dict[str, Tensor]: ``loss_no_images``; empty if nothing is trained.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        return {}
    return dict(loss_no_images=sum(p.sum() for p in parameters) * 0.)
