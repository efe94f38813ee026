# Copyright (c) mmbombo contributors.
import logging
from typing import Any, Iterator, List

import torch
from mmengine.logging import print_log
from torch import Tensor, nn


def freeze_unreached_parameters(model: nn.Module,
                                image_size: int = 128) -> List[str]:
    """Freeze the parameters that no output of the model depends on.

    An example is MobileNetV2's last convolution when no head taps it. Such a
    parameter never gets a gradient, and distributed training then stops with
    "Expected to have finished reduction"; ``find_unused_parameters`` would
    hide it at the price of a graph walk in every step.

    One image of zeros is sent through the model in evaluation mode, so
    normalisation statistics stay as they are.

    Args:
        model (nn.Module): A model whose ``forward(inputs, mode='tensor')``
            runs everything that training may run.
        image_size (int): Side of the probe image in pixels. Defaults to 128.

    Returns:
        list[str]: Names of the parameters that were frozen.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.enable_grad():
            outputs = model(torch.zeros(1, 3, image_size, image_size))
            total = sum(x.float().sum() for x in _float_tensors(outputs))
        named = [(name, parameter)
                 for name, parameter in model.named_parameters()
                 if parameter.requires_grad
                 # they belong to losses, which no output can show
                 and not name.startswith('weak_losses.')]
        grads = torch.autograd.grad(
            total, [parameter for _, parameter in named], allow_unused=True)
    except RuntimeError as error:
        print_log(
            'Could not look for parameters that no output reaches (an '
            f'operator may need a GPU or a fixed image size): {error}',
            logger='current',
            level=logging.WARNING)
        return []
    finally:
        for module, training in modes.items():
            module.training = training

    frozen = []
    for (name, parameter), grad in zip(named, grads):
        if grad is None:
            parameter.requires_grad_(False)
            frozen.append(name)
    if frozen:
        print_log(
            'Frozen, because no output depends on them: ' + ', '.join(frozen),
            logger='current')
    return frozen


def _float_tensors(outputs: Any) -> Iterator[Tensor]:
    if isinstance(outputs, Tensor):
        if outputs.is_floating_point():
            yield outputs
    elif isinstance(outputs, dict):
        for value in outputs.values():
            yield from _float_tensors(value)
    elif isinstance(outputs, (tuple, list)):
        for value in outputs:
            yield from _float_tensors(value)
