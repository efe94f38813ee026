# Copyright (c) mmbombo contributors.
from typing import Callable, Sequence

import torch
from torch import Tensor


def fill_gradients(function: Callable, inputs: Sequence[Tensor],
                   grad_output: Tensor, grad_inputs: Sequence[Tensor]) -> None:
    """Differentiate a function of the inputs where MMCV calls the derivative
    of an operator by name, into ``grad_inputs``, which are zero so far."""
    inputs = [point.detach().requires_grad_() for point in inputs]
    with torch.enable_grad():
        output = function(*inputs)
    if not output.requires_grad:  # regions without an area
        return
    grads = torch.autograd.grad(output, inputs, grad_output)
    for filled, grad in zip(grad_inputs, grads):
        filled.copy_(grad)
