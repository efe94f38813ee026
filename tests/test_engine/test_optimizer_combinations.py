# Copyright (c) mmbombo contributors.
"""Accumulated, clipped, averaged and in mixed precision, a run is the plain
run: every combination beside a loop that is written down here."""
import copy
import itertools
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from mmengine.optim import OptimWrapper
from toolbox import load_script

from mmbombo.registry import OPTIM_WRAPPERS

TOY = load_script(Path(__file__).with_name('test_divergence_hook.py'))
COUNT, MAX_NORM, MOMENTUM = 3, .5, .0002
#: Of weights, relative and absolute: bfloat16 has 8 bits, and rounds alike.
TOLERANCE = dict(rtol=1e-6, atol=1e-7)


@OPTIM_WRAPPERS.register_module(force=True)
class AutocastOptimWrapper(OptimWrapper):
    """bfloat16 as in ``AmpOptimWrapper``, which refuses the CPU."""

    @contextmanager
    def optim_context(self, model):
        with super().optim_context(model), torch.autocast(
                'cpu', dtype=torch.bfloat16):
            yield


def plain_run(model, batches, accumulates, clips, autocasts):
    """Weights, and their average, of a loop without MMEngine."""
    optimizer = torch.optim.SGD(
        model.parameters(), lr=.05, momentum=.9, weight_decay=.1)
    average = None
    window = COUNT if accumulates else 1
    for step, images in enumerate(batches, 1):
        with torch.autocast('cpu', torch.bfloat16, enabled=autocasts):
            losses = model(images)
        (losses['loss_a'] / window).backward()
        if step % window == 0:
            if clips:
                torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
            optimizer.step()
            optimizer.zero_grad()
        state = {k: v.clone() for k, v in model.state_dict().items()}
        average = state if average is None else {
            k: v if 'num' in k else average[k] + MOMENTUM * (v - average[k])
            for k, v in state.items()
        }
    return state, average


@pytest.mark.parametrize(
    'accumulates, clips, averages, autocasts',
    itertools.product([False, True], repeat=4))
def test_every_combination_is_the_plain_run(tmp_path, accumulates, clips,
                                            averages, autocasts):
    optim = dict(
        type='AutocastOptimWrapper' if autocasts else 'OptimWrapper',
        accumulative_counts=COUNT if accumulates else 1,
        clip_grad=dict(max_norm=MAX_NORM) if clips else None)
    runner, recorder = TOY.build(tmp_path, optim=optim)
    batches = []
    recorder.before_train_iter = lambda runner, batch_idx, data_batch: (
        batches.append(data_batch['inputs']))
    if not averages:
        runner._hooks = [
            x for x in runner.hooks if not isinstance(x, TOY.EMAHook)]
    model = copy.deepcopy(runner.model)
    runner.train()
    wanted, average = plain_run(model, batches, accumulates, clips, autocasts)
    found, *ema, _ = TOY.state_of(runner)
    torch.testing.assert_close(found, wanted, **TOLERANCE)
    assert bool(ema) == averages
    for key, value in average.items() if averages else ():
        if 'num' not in key:
            torch.testing.assert_close(ema[0][f'module.{key}'], value,
                                       **TOLERANCE)
