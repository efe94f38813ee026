# Copyright (c) mmbombo contributors.
from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """The network itself, where a distributed run has wrapped it.

    Args:
        model (nn.Module): ``runner.model``.

    Returns:
        nn.Module: The model inside the wrapper, or the model as it is.
    """
    return model.module if is_model_wrapper(model) else model
