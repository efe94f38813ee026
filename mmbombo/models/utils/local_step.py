# Copyright (c) mmbombo contributors.
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Callable, Dict, Iterator, NamedTuple, Optional, Sequence

import torch
from torch import Tensor


class LocalStep(NamedTuple):
    """What a part of the network needs to train itself in a forward pass."""
    #: a loss, as the optimizer wrapper scales it before ``backward()``
    scale: Callable[[Tensor], Tensor]
    #: normalized images, as RGB ``(N, 3, H, W)`` in 0 to 255
    raw_images: Callable[[Tensor], Tensor]
    num_images: int  #: of the step, that the model may take in parts
    samples: Sequence  #: of the images that the backbone gets now
    log: Dict[str, Tensor]  #: values that the step's log line gets

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, as a part of the step's."""
        with torch.autocast(loss.device.type, enabled=False):
            self.scale(loss).backward()


_STEP: ContextVar[Optional[LocalStep]] = ContextVar('step', default=None)


def local_step() -> Optional[LocalStep]:
    """The training step that runs; None if nobody has said so."""
    return _STEP.get()


def set_local_step(step: Optional[LocalStep]) -> None:
    """Let parts of the network train themselves from now on, or no more."""
    _STEP.set(step)


@contextmanager
def batch_samples(samples: Sequence) -> Iterator[None]:
    """Say which samples the images are of that the backbone gets."""
    step = _STEP.get()
    _STEP.set(step and step._replace(samples=samples))
    try:
        yield
    finally:
        _STEP.set(step)
