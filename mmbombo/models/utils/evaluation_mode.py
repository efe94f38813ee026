# Copyright (c) mmbombo contributors.
from contextlib import contextmanager
from typing import Iterator

from torch import nn


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; then each module's own mode again.

    Args:
        network (nn.Module): Changed inside the block. ``network.train()`` at
            its end would wake parts that are kept in evaluation mode.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
