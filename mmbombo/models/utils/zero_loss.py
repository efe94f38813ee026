# Copyright (c) mmbombo contributors.
from typing import Dict

from torch import Tensor, nn


def zero_loss(module: nn.Module,
              name: str = 'loss_no_images') -> Dict[str, Tensor]:
    """An exact zero that touches every parameter of a module.

    For a step that has nothing for it, so that distributed training finds a
    gradient for each parameter.

    Args:
        module (nn.Module): A task head or a weak loss.
        name (str): Key of the loss, which says what is missing.

    Returns:
        dict[str, Tensor]: The loss; empty if nothing is trained.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        return {}
    return {name: sum(p.sum() for p in parameters) * 0.}
