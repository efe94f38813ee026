# Copyright (c) mmbombo contributors.
import logging
from typing import List, Tuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from .evaluation_mode import evaluation_mode
from .probe import probe_sample


def freeze_unreached_parameters(model: nn.Module,
                                feats: Tuple[Tensor, ...]) -> List[str]:
    """Freeze the parameters that no output of the model depends on.

    An example is MobileNetV2's last convolution when no head taps it. Such a
    parameter never gets a gradient, and distributed training then stops with
    "Expected to have finished reduction"; ``find_unused_parameters`` would
    hide it at the price of a graph walk in every step.

    The heads run in evaluation mode, so normalization statistics stay as they
    are. The task heads themselves, not their parts, are told that it is
    training, in which they run auxiliary heads too.

    Args:
        model (nn.Module): A model with ``trained_heads()`` that run
            everything that training may run.
        feats (tuple[Tensor]): What :func:`probe_features` gives for it.

    Returns:
        list[str]: Names of the parameters that were frozen.
    """
    try:
        with evaluation_mode(model), torch.enable_grad():
            heads = [head for _, head in model.trained_heads()]
            for head in heads:
                head.training = True
            outputs = [head(feats, [probe_sample()]) for head in heads]
            total = sum(x.float().sum() for x in tree_leaves(outputs)
                        if torch.is_tensor(x) and x.is_floating_point())
        named = [(name, parameter)
                 for name, parameter in model.named_parameters()
                 if parameter.requires_grad
                 # they belong to losses, which no output can show
                 and not name.startswith('weak_losses.')]
        grads = torch.autograd.grad(
            total, [parameter for _, parameter in named], allow_unused=True)
    except Exception as error:  # a head may refuse the image in any way
        print_log(
            'Could not look for parameters that no output reaches (an '
            f'operator may need a GPU or a fixed image size): {error}',
            logger='current',
            level=logging.WARNING)
        return []

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
