# Copyright (c) mmbombo contributors.
"""BoMBo steps in half precision, channels last, and compiled, against plain.

Backbone and neck, and each head, are compiled as one function each; losses
and pseudo labels are not. A GPU takes float16 and bfloat16, a CPU bfloat16.
The gain is stated, without a goal: it is the machine's. The losses have to be
those of the plain network. Mask-for-Box has no predictor in this, since what
one predicts depends on thresholds; that a step with one works is tried.
"""
import math
from argparse import Namespace
from typing import Callable, Dict, List

import numpy as np
import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn
from torch._dynamo.utils import counters

from .batches import own_batch
from .bombo_naive_all import confident_bombo
from .rows import Row, in_turn, ratio_of, timed
from .running import Training, waiting
from .stock import sizes

#: Compiler; it needs a C++ compiler on a CPU, and Triton on a GPU.
BACKEND = 'inductor'
#: Largest relative difference of a loss.
HALF, SINGLE = .05, 1e-3


class Bfloat16OnCPU(OptimWrapper):
    """MMEngine's ``AmpOptimWrapper`` refuses a CPU."""

    def optim_context(self, model: nn.Module):
        """Autocast; bfloat16 needs no scaling of the loss."""
        return torch.autocast('cpu', torch.bfloat16)


def run(options: Namespace) -> List[Row]:
    """Each variant against the plain network, with the same weights."""
    on_cpu = torch.device(options.device).type == 'cpu'
    variants: Dict[str, Callable] = dict(channels_last=channels_last)
    for dtype in ('bfloat16', ) if on_cpu else ('bfloat16', 'float16'):
        variants[f'amp_{dtype}'] = half(dtype, on_cpu)
    variants['compile'] = compiled
    return [
        compare(options, name, change) for name, change in variants.items()
    ]


def channels_last(training: Training) -> None:
    """Weights, and with them all maps, with the channels last in memory."""
    training.model.to(memory_format=torch.channels_last)


def half(dtype: str, on_cpu: bool) -> Callable:
    """Automatic mixed precision."""

    def change(training: Training) -> None:
        args = dict(
            optimizer=training.optim.optimizer, clip_grad=dict(max_norm=10.))
        training.optim = Bfloat16OnCPU(**args) if on_cpu else AmpOptimWrapper(
            dtype=dtype, loss_scale='dynamic', **args)

    return change


def compiled(training: Training) -> None:
    """Compile backbone with neck, and the heads."""
    counters.clear()
    torch._dynamo.reset()
    model = training.model
    model.extract_feat = torch.compile(model.extract_feat, backend=BACKEND)
    for head in model.task_heads.values():
        head.forward = torch.compile(head.forward, backend=BACKEND)


def compare(options: Namespace, name: str, change: Callable) -> Row:
    """Row of one variant."""
    batch = own_batch(options)
    plain, other = (confident_bombo(options, batch, 'none') for _ in range(2))
    for training in (plain, other):
        without_dropout(training.model)
    change(other)
    start_ms, found = timed(waiting(options.device, other))
    worst = worst_difference(plain(), found)
    plain_ms, other_ms = in_turn(
        waiting(options.device, plain), waiting(options.device, other),
        options.repeats)
    ratio, spread = ratio_of(plain_ms, other_ms)
    figures = {
        **sizes(options), 'largest relative difference of a loss': worst,
        'first step, seconds': round(start_ms / 1e3, 1)
    }
    if name == 'compile':
        figures['graph breaks'] = dict(counters['graph_break'])
        figures['steps until the first, slow one has paid for itself'] = (
            pays_after(start_ms, np.median(plain_ms), np.median(other_ms)))
    in_half = name.startswith('amp')
    tolerance = HALF if in_half else SINGLE
    conditions = {f'same losses within {tolerance:g}': worst <= tolerance}
    if in_half:
        conditions["a step with predictor='self' works"] = predicts(
            options, batch, change)
    return Row(
        f'{name}_{options.model}',
        ratio,
        None,
        'any',
        spread,
        'time of a plain BoMBo step / of one with this',
        conditions=conditions,
        figures=figures,
        times={
            'plain': plain_ms,
            name: other_ms
        })


def pays_after(first: float, plain: float, other: float) -> str:
    """Steps, the first one included, that take no longer than plain ones.

    Args:
        first (float): Time of the first step.
        plain (float): Time of a plain step.
        other (float): Time of each further step.

    Returns:
        str: Their number; 'never' if these are no faster.
    """
    if other >= plain:
        return 'never'
    return str(max(1, math.ceil((first - other) / (plain - other))))


def without_dropout(model: nn.Module) -> None:
    """What it drops depends on the order in memory."""
    for module in model.modules():
        if isinstance(module, (nn.Dropout, nn.Dropout2d)):
            module.p = 0.


def worst_difference(plain: dict, other: dict) -> float:
    """Largest relative difference of a loss."""
    return max(
        abs(float(other[key].detach() / plain[key].detach()) - 1)
        for key in plain if 'loss' in key)


def predicts(options: Namespace, batch: dict, change: Callable) -> bool:
    """Whether a step with Mask-for-Box's predictions works."""
    training = confident_bombo(options, batch, 'self')
    change(training)
    try:
        return math.isfinite(training()['loss'].detach())
    except RuntimeError as error:
        print(f'amp_compile: {error}', flush=True)
        return False
