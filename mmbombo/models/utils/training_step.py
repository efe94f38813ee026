# Copyright (c) mmbombo contributors.
from typing import Dict

from mmengine.logging import MessageHub
from torch import Tensor, nn


def training_progress() -> float:
    """Iterations done by iterations in all, 1 outside a Runner."""
    hub = MessageHub.get_current_instance()
    max_iters = hub.get_info('max_iters', default=None)
    done = hub.get_info('iter', default=None)
    if not max_iters or done is None:
        return 1.
    return done / max_iters


def zero_loss(module: nn.Module,
              name: str = 'loss_no_images') -> Dict[str, Tensor]:
    """An exact zero that touches every parameter of a module.

    For a step that has nothing for it, so that distributed training finds a
    gradient for each parameter; ``name`` says what is missing. Empty if
    nothing is trained.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        return {}
    return {name: sum(p.sum() for p in parameters) * 0.}
