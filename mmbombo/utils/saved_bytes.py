# Copyright (c) mmbombo contributors.
from typing import Any, Callable
from weakref import WeakKeyDictionary, finalize

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts the memory of the tensors that are made in a ``with`` block.

    Each storage counts once, from the operator that makes it until nobody
    holds it: neither Python, nor the graph that saves it for the backward
    pass. So what is computed again in a backward pass counts, and what was
    there before, such as parameters, does not. What an operator allocates for
    itself is not seen. It needs torch 2.1.

    Attributes:
        live (int): Bytes alive now.
        peak (int): The most that were alive at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: WeakKeyDictionary = WeakKeyDictionary()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> Any:
        for x in tree_leaves((args, kwargs)):
            if isinstance(x, Tensor):
                self._known.setdefault(x.untyped_storage(), 0)
        outputs = func(*args, **(kwargs or {}))
        for x in tree_leaves(outputs):
            if isinstance(x, Tensor):
                self._add(x.untyped_storage())
        return outputs

    def _add(self, storage: Any) -> None:
        if storage in self._known:
            return
        size = self._known[storage] = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        finalize(storage, self._drop, size)

    def _drop(self, size: int) -> None:
        self.live -= size


def measure_saved_bytes(fn: Callable[[], Any]) -> int:
    """The most bytes that the tensors made by ``fn`` hold at once, see
    :class:`LiveBytes`.

    For a training step: what the forward pass saves and the backward pass
    adds. Gradients of parameters count if they are made by ``fn``, and not if
    there are some already, which are added to.
    """
    with LiveBytes() as meter:
        fn()
    return meter.peak
