# Copyright (c) mmbombo contributors.
from typing import Any, Sequence

import torch
from torch import Tensor


def select_images(batch: Any, positions: Sequence[int], size: int) -> Any:
    """Take some images out of batched tensors, however they are nested.

    A consecutive run of images, which is what
    :class:`PartialAnnotationSampler` yields for a source, is a view; anything
    else is gathered.

    Args:
        batch (Any): Tensor ``(N, ...)``, or a tuple, list or dict of such.
        positions (Sequence[int]): Positions in the batch.
        size (int): Number of images in the batch, N.

    Returns:
        Any: The same nesting with tensors ``(len(positions), ...)``.
    """
    positions = list(positions)
    if positions == list(range(size)):
        return batch
    first = positions[0] if positions else 0
    if positions == list(range(first, first + len(positions))):
        return _map_tensors(
            batch, lambda x: x.narrow(0, first, len(positions)))
    index = torch.tensor(positions)
    return _map_tensors(batch, lambda x: x.index_select(
        0, index.to(x.device, non_blocking=True)))


def _map_tensors(batch: Any, function) -> Any:
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, dict):
        return {k: _map_tensors(v, function) for k, v in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(_map_tensors(v, function) for v in batch)
    raise TypeError(f'cannot take images out of a {type(batch).__name__}')


def join_images(batches: Sequence[Any]) -> Any:
    """Put batched tensors one after the other.

    Args:
        batches (Sequence[Any]): Tensors ``(N_i, ...)``, or equally nested
            tuples, lists or dicts of such.

    Returns:
        Any: The same nesting with tensors ``(sum N_i, ...)``.
    """
    first = batches[0]
    if isinstance(first, Tensor):
        return torch.cat(list(batches))
    if isinstance(first, dict):
        return {k: join_images([x[k] for x in batches]) for k in first}
    return type(first)(join_images(parts) for parts in zip(*batches))
