# Copyright (c) mmbombo contributors.
from typing import Any, List

from torch import Tensor


def nested_tensors(outputs: Any) -> List[Tensor]:
    """All tensors in nested dicts, tuples and lists, in order.

    Args:
        outputs (Any): Such as a network gives; what is no tensor in it is
            left out.

    Returns:
        list[Tensor]: The tensors.
    """
    if isinstance(outputs, Tensor):
        return [outputs]
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if isinstance(outputs, (tuple, list)):
        return [x for part in outputs for x in nested_tensors(part)]
    return []
