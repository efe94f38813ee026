# Copyright (c) mmbombo contributors.
"""Steps of a network, waiting for a device, and peaks of memory.

No import of mmbombo: a baseline may run in a process without it.
"""
import gc
from typing import Callable, List

import torch
from mmengine.optim import OptimWrapper
from torch import nn
from torch.profiler import ProfilerActivity, profile

from .rows import timed

#: So small that a network stays as it is over many steps.
LEARNING_RATE = 1e-7


def fresh(batch: dict) -> dict:
    """A batch that a preprocessor may change; the tensors are the same."""
    samples = []
    for sample in batch['data_samples']:
        copy = sample.clone()
        for key, field in sample.items():
            setattr(copy, key, field.clone())
        samples.append(copy)
    return dict(inputs=list(batch['inputs']), data_samples=samples)


@torch.no_grad()
def sum_of_losses(model: nn.Module, batch: dict) -> float:
    """Sum of a network's losses on a batch.

    In evaluation mode, in which the network is left: in training, the
    statistics of a batch with all images are not those of a batch with half of
    them.
    """
    data = model.eval().data_preprocessor(fresh(batch), True)
    return float(model.parse_losses(model(**data, mode='loss'))[0])


@torch.no_grad()
def predict(model: nn.Module, batch: dict) -> list:
    """A network's predictions, without gradients as in MMEngine's loops.

    Its ``test_step`` alone would keep all activations for them.
    """
    return model.test_step(fresh(batch))


def weights_in_bytes(*models: nn.Module) -> int:
    """Parameters and buffers."""
    return sum(tensor.numel() * tensor.element_size() for model in models
               for tensor in (*model.parameters(), *model.buffers()))


class Training:
    """A network with an optimizer; a call is a step on a batch.

    Args:
        model (nn.Module): A model of MMEngine.
        batch (dict): From the data loader; it stays as it is.
        device (str): Where to train.
    """

    def __init__(self, model: nn.Module, batch: dict, device: str) -> None:
        self.model = model.to(device).train()
        self.batch = batch
        self.optim = OptimWrapper(
            torch.optim.AdamW(
                model.parameters(), lr=LEARNING_RATE, weight_decay=0.),
            clip_grad=dict(max_norm=10.))

    def __call__(self) -> dict:
        """One step; its log."""
        return self.model.train_step(fresh(self.batch), self.optim)

    def state_in_bytes(self) -> int:
        """What the optimizer keeps."""
        return sum(value.numel() * value.element_size()
                   for state in self.optim.optimizer.state.values()
                   for value in state.values() if torch.is_tensor(value))


class Stopwatch:
    """Wraps a function and notes how long each call took.

    Args:
        function (Callable): What to time.
        device (str): What to wait for, before and after.
    """

    def __init__(self, function: Callable, device: str) -> None:
        self.function = function
        self.device = device
        self.times: List[float] = []

    def __call__(self, *args):
        """Call the function."""
        wait(self.device)
        spent, result = timed(waiting(self.device, self.function), *args)
        self.times.append(spent)
        return result


def wait(device: str) -> None:
    """Until a device has done what it was told."""
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize(device)


def waiting(device: str, *functions: Callable) -> Callable:
    """Functions one after the other, then :func:`wait`; the last result."""

    def call(*args):
        for function in functions:
            result = function(*args)
        wait(device)
        return result

    return call


def peak_memory(function: Callable, device: str, resident: int) -> int:
    """Largest number of bytes held at once.

    On a GPU what PyTorch's allocator has seen. On a CPU there is no such
    counter: what is allocated during the call is taken from the profiler, and
    what is held before from the argument.

    Args:
        function (Callable): Without arguments; called twice, the first call
            is not counted.
        device (str): Where it works.
        resident (int): Bytes held before, for a CPU.

    Returns:
        int: Bytes.
    """
    function()
    # networks hold themselves in circles; a GPU's counter sees what is left
    gc.collect()
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        function()
        return torch.cuda.max_memory_allocated(device)
    with profile(
            activities=[ProfilerActivity.CPU],
            profile_memory=True) as profiler:
        function()
    events = list(profiler.profiler.kineto_results.experimental_event_tree())
    changes = []
    while events:
        event = events.pop()
        events.extend(event.children)
        if event.name == '[memory]':
            changes.append(
                (event.start_time_ns, event.extra_fields.alloc_size))
    held = peak = 0
    for _, change in sorted(changes):
        held += change
        peak = max(peak, held)
    return resident + peak
