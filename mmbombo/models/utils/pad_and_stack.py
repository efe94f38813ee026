# Copyright (c) mmbombo contributors.
from typing import Sequence

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def pad_and_stack(values: Sequence[Tensor]) -> Tensor:
    """Stack tensors of different lengths.

    Args:
        values (Sequence[Tensor]): N >= 1 tensors ``(K_i, ...)``.

    Returns:
        Tensor: ``(N, K, ...)``, K the largest K_i, filled with zeros.
    """
    return pad_sequence(values, batch_first=True)
