# Copyright (c) mmbombo contributors.
import copy
import math
import os

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmbombo.models.context import Teachers
from mmbombo.utils import UserError

MOMENTUM, GAMMA = .1, 5


class Toy(BaseModel):
    """A weight, a normalization with statistics, and a predictor holder."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.linear = nn.Linear(2, 1)
        self.teachers = Teachers()

    def set_teacher(self, name, model):
        self.teachers.set(name, model)

    def forward(self, inputs, data_samples=None, mode='loss'):
        out = self.linear(self.norm(torch.stack(inputs)))
        if mode == 'predict':
            return [float(x) for x in out]
        return dict(loss=(out - 3).square().mean())


class Recorder(Hook):
    """Records the model and its predictor around every step."""
    priority = 'LOWEST'

    def __init__(self):
        self.before, self.after, self.source = {}, {}, {}
        self.eval_mode = []

    def _predictor(self, runner):
        predictor = runner.model.teachers.get('ema')
        if predictor is not None:
            self.eval_mode.append(not any(m.training
                                          for m in predictor.modules()))
            predictor = copy.deepcopy(predictor.state_dict())
        return predictor

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.before[runner.iter] = self._predictor(runner)

    def after_train_iter(self,
                         runner,
                         batch_idx,
                         data_batch=None,
                         outputs=None):
        self.after[runner.iter] = self._predictor(runner)
        self.source[runner.iter] = copy.deepcopy(runner.model.state_dict())


def collate(items):
    return dict(inputs=list(items))


def train(work_dir, max_iters=5, hook=None, model=None, **kwargs):
    torch.manual_seed(0)
    data = list(torch.randn(20, 2))
    recorder = Recorder()
    hook = dict(
        dict(type='PredictorEMAHook', momentum=MOMENTUM), **(hook or {}))
    runner = Runner(
        model=model or Toy(),
        work_dir=str(work_dir),
        train_dataloader=DataLoader(data, batch_size=4, collate_fn=collate),
        train_cfg=dict(by_epoch=False, max_iters=max_iters, val_interval=3),
        val_dataloader=DataLoader(data, batch_size=4, collate_fn=collate),
        val_cfg=dict(),
        val_evaluator=[],
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=.05)),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=2,
                            by_epoch=False)),
        custom_hooks=[hook, recorder],
        default_scope='mmbombo',
        experiment_name=os.urandom(8).hex(),
        log_level='WARNING',
        **kwargs)
    runner.train()
    return runner, recorder


def average(sources, momentum):
    """The moving average, in float64, from the model after each step."""
    averaged = None
    for steps, state in enumerate(sources):
        state = {k: v.double() for k, v in state.items()}
        if averaged is None:
            averaged = state
            continue
        m = momentum(steps)
        averaged = {k: (1 - m) * averaged[k] + m * state[k] for k in state}
    return averaged


def assert_close(state, wanted):
    for key, value in wanted.items():
        if 'num_batches' not in key:
            torch.testing.assert_close(
                state[key].double(), value, rtol=1e-5, atol=1e-6, msg=key)


@pytest.mark.parametrize('hook, momentum', [
    (dict(), lambda steps: MOMENTUM),
    (dict(ema_type='mmdet.ExpMomentumEMA', gamma=GAMMA), lambda steps:
     (1 - MOMENTUM) * math.exp(-(1 + steps) / GAMMA) + MOMENTUM),
])
def test_predictor_is_the_average(tmp_path, hook, momentum):
    # Iteration 3 comes after a validation, which swaps the weights.
    runner, recorder = train(tmp_path, hook=hook)
    assert recorder.before[0] is None
    sources = [recorder.source[i] for i in range(5)]
    for i in range(5):
        wanted = average(sources[:i + 1], momentum)
        assert_close(recorder.after[i], wanted)
        if i < 4:
            assert_close(recorder.before[i + 1], wanted)
    assert all(recorder.eval_mode)
    # Statistics of normalization are averaged too.
    assert recorder.after[4]['norm.running_mean'].abs().sum() > 0


def test_predictor_is_no_part_of_the_model(tmp_path):
    runner, _ = train(tmp_path, max_iters=2)
    model = runner.model
    predictor = model.teachers.get('ema')
    assert predictor is not None
    assert set(model.state_dict()) == set(Toy().state_dict())
    ours = {id(p) for p in model.parameters()}
    assert not ours & {id(p) for p in predictor.parameters()}
    assert not any(p.requires_grad for p in predictor.parameters())
    assert copy.deepcopy(model).teachers.get('ema') is None
    model.train()
    assert not predictor.training


def test_none_before_the_average_begins(tmp_path):
    _, recorder = train(tmp_path, hook=dict(begin_iter=3))
    assert recorder.after[1] is None
    assert recorder.before[2] is None
    assert_close(recorder.after[2], {
        k: v.double()
        for k, v in recorder.source[2].items()
    })
    assert recorder.after[4] is not None


def test_resumed_run_has_it_before_the_first_step(tmp_path):
    whole, recorder = train(tmp_path / 'whole', max_iters=4)
    checkpoint = str(tmp_path / 'whole' / 'iter_2.pth')
    _, resumed = train(
        tmp_path / 'resumed', max_iters=4, resume=True, load_from=checkpoint)
    assert sorted(resumed.before) == [2, 3]
    for i in (2, 3):
        assert_close(resumed.before[i], {
            k: v.double()
            for k, v in recorder.before[i].items()
        })
    assert all(resumed.eval_mode)


def test_loaded_but_not_resumed_run_has_none(tmp_path):
    train(tmp_path / 'first', max_iters=2)
    _, recorder = train(
        tmp_path / 'second',
        max_iters=2,
        load_from=str(tmp_path / 'first' / 'iter_2.pth'))
    assert recorder.before[0] is None
    assert recorder.after[0] is not None


def test_model_without_predictors_is_refused(tmp_path):

    class Plain(Toy):
        set_teacher = property()

    with pytest.raises(UserError, match='Plain takes no predictor'):
        train(tmp_path, model=Plain())
