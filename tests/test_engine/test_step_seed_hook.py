# Copyright (c) mmbombo contributors.
from types import SimpleNamespace

import torch

from mmbombo.engine.hooks import step_seed_hook
from mmbombo.registry import HOOKS


def test_seeds_are_of_the_run_the_iteration_and_the_rank(monkeypatch):
    hook = HOOKS.build(dict(type='StepSeedHook'))

    def draw(seed, iteration, rank):
        monkeypatch.setattr(step_seed_hook, 'get_rank', lambda: rank)
        hook.before_train_iter(SimpleNamespace(seed=seed, iter=iteration), 0)
        return torch.rand(()).item()

    keys = [(seed, iteration, rank) for seed in (0, 1)
            for iteration in (0, 1) for rank in (0, 1)]
    drawn = [draw(*key) for key in keys]
    assert len(set(drawn)) == 8
    assert drawn == [draw(*key) for key in keys]
