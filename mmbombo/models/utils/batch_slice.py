# Copyright (c) mmbombo contributors.
from typing import Any, Callable, Sequence

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten


def select_images(batch: Any, positions: Sequence[int], size: int) -> Any:
    """Take some of ``size`` images out of batched tensors ``(N, ...)``,
    however they are nested in tuples, lists and dicts.

    A consecutive run of images, which is what
    :class:`PartialAnnotationSampler` yields for a source, is a view; anything
    else is gathered.
    """
    positions = list(positions)
    if positions == list(range(size)):
        return batch
    first = positions[0] if positions else 0
    if positions == list(range(first, first + len(positions))):
        return _map_tensors(lambda x: x.narrow(0, first, len(positions)),
                            batch)
    index = torch.tensor(positions)
    return _map_tensors(
        lambda x: x.index_select(0, index.to(x.device, non_blocking=True)),
        batch)


def _map_tensors(function: Callable[[Tensor], Tensor], batch: Any) -> Any:

    def checked(x: Any) -> Tensor:
        if not isinstance(x, Tensor):
            raise TypeError(f'cannot take images out of a {type(x).__name__}')
        return function(x)

    return tree_map(checked, batch)


def join_images(batches: Sequence[Any]) -> Any:
    """Put equally nested tensors ``(N_i, ...)`` one after the other."""
    flat, specs = zip(*map(tree_flatten, batches))
    return tree_unflatten([torch.cat(parts) for parts in zip(*flat)], specs[0])
