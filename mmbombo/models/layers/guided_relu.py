# Copyright (c) mmbombo contributors.
from contextlib import contextmanager
from functools import partial
from typing import Iterator

import torch
from torch import Tensor, nn


class _GuidedReLU(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x: Tensor, maximum: float) -> Tensor:
        y = x.clamp(0, maximum)
        ctx.save_for_backward((x > 0) & (x < maximum))
        return y

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple:
        passes, = ctx.saved_tensors
        return grad.clamp(min=0) * passes, None


@contextmanager
def guided_relus(*networks: nn.Module) -> Iterator[None]:
    """Let only what speaks for a class pass backwards for a while.

    At each ``nn.ReLU`` and ``nn.ReLU6``, gradients that are negative end, as
    do all where the unit is off (or, at 6, saturated, which is ours). What
    they do forwards stays, but never in place.

    Source: Springenberg et al., "Striving for Simplicity: The All
    Convolutional Net", 2014 (guided backpropagation).
    """
    limits = {nn.ReLU: torch.inf, nn.ReLU6: 6.}
    relus = {
        module
        for network in networks
        for module in network.modules() if type(module) in limits
    }
    for module in relus:
        # an attribute of the object hides the method of its class
        module.forward = partial(lambda limit, x: _GuidedReLU.apply(x, limit),
                                 limits[type(module)])
    try:
        yield
    finally:
        for module in relus:
            del module.forward
