# Copyright (c) mmbombo contributors.
import copy
import os

import pytest
import torch
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmbombo.engine.hooks import DivergedError, DivergenceHook
from mmbombo.engine.hooks.local_supervision_hook import scale
from mmbombo.registry import OPTIM_WRAPPERS

NAN, INF = float('nan'), float('inf')


class Toy(BaseModel):
    """Statistics, and faults that an image asks for by its first pixel."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.linear = nn.Linear(2, 1)

    def forward(self, inputs, data_samples=None, mode='loss'):
        images = torch.stack(inputs)
        fault = images[0, 0].item()
        out = self.linear(self.norm(images))
        if mode == 'predict':
            return [float(x) for x in out]
        losses = dict(loss_a=out.square().mean())
        if fault == 1e6:  # finite, with a gradient that is not
            losses['loss_b'] = (out.mean() * 0).sqrt()
        if fault == 2e6:  # not finite, with a gradient that is
            losses['loss_b'] = out.mean() * 0 + INF
        if fault == 3e6:  # a gradient that only a scale makes infinite
            losses['loss_b'] = out.mean() * 1e36
        return losses


class Recorder(Hook):
    """Keeps all state as it is before each step."""
    priority = 'LOWEST'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.before = state_of(runner)


def state_of(runner):
    """Weights, statistics, momentum and moving average."""
    ema = [x.ema_model.state_dict() for x in runner.hooks
           if isinstance(x, EMAHook)]
    return copy.deepcopy([
        runner.model.state_dict(), *ema,
        runner.optim_wrapper.optimizer.state_dict()['state']
    ])


@OPTIM_WRAPPERS.register_module(force=True)
class ScaledOptimWrapper(OptimWrapper):
    """What ``AmpOptimWrapper`` does, which refuses the CPU."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=2.**16)

    def backward(self, loss, **kwargs):
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs):
        if self.clip_grad_kwargs:
            self.loss_scaler.unscale_(self.optimizer)
            self._clip_grad()
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()


def collate(items):
    return dict(
        inputs=[x for x, _ in items],
        data_samples=[dict(source='boxes', img_path=f'{i}.jpg')
                      for _, i in items])


def build(work_dir, fault=None, at=4, max_skipped=0, iters=6, optim=None,
          wrap=lambda model: model):
    """A runner of one image of a step, two in all, one of which is bad."""
    torch.manual_seed(0)
    images = torch.randn(2 * iters, 2)
    if fault is not None:
        images[2 * at - 1, 0] = images[2 * at - 2, 0] = fault
    data = list(zip(images, range(2 * iters)))
    recorder = Recorder()
    runner = Runner(
        model=wrap(Toy()),
        work_dir=str(work_dir),
        train_dataloader=DataLoader(data, batch_size=2, collate_fn=collate),
        train_cfg=dict(by_epoch=False, max_iters=iters, val_interval=iters),
        val_dataloader=DataLoader(data, batch_size=2, collate_fn=collate),
        val_cfg=dict(),
        val_evaluator=[],
        optim_wrapper=dict(
            dict(type='OptimWrapper',
                 optimizer=dict(type='SGD', lr=.05, momentum=.9,
                                weight_decay=.1)), **(optim or {})),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=2,
                            by_epoch=False)),
        custom_hooks=[
            DivergenceHook(max_skipped),
            dict(type='EMAHook', update_buffers=True), recorder
        ],
        default_scope='mmbombo',
        experiment_name=os.urandom(8).hex(),
        log_level='WARNING')
    return runner, recorder


def assert_same(state, wanted):
    torch.testing.assert_close(state, wanted, rtol=0, atol=0)


SGD = dict(type='SGD', lr=.05, momentum=.9, weight_decay=.1)
ADAMW = dict(type='AdamW', lr=.05, weight_decay=.1)


@pytest.mark.parametrize('fault, keys', [
    (NAN, 'loss, loss_a'),
    (INF, 'loss, loss_a'),
    (1e6, 'gradients'),
    (2e6, 'loss, loss_b'),
])
@pytest.mark.parametrize('optim', [
    dict(optimizer=SGD),
    dict(optimizer=ADAMW, clip_grad=dict(max_norm=1.)),
    dict(optimizer=SGD, clip_grad=dict(type='value', clip_value=1.)),
])
def test_bad_step_changes_nothing_and_ends_the_run(tmp_path, fault, keys,
                                                   optim):
    runner, recorder = build(tmp_path, fault, optim=optim)
    with pytest.raises(DivergedError) as error:
        runner.train()
    assert f'iteration 4: {keys} NaN or infinite (boxes: 6.jpg, 7.jpg)' in (
        str(error.value))
    assert str(tmp_path / 'iter_2.pth') in str(error.value)
    assert_same(state_of(runner), recorder.before)
    assert state_of(runner)[-1] and runner.iter == 3
    assert sorted(x.name for x in tmp_path.glob('*.pth')) == ['iter_2.pth']


def test_hook_changes_nothing_in_a_run_without_faults(tmp_path):
    states = []
    for name, count in (('with', 0), ('without', None)):
        runner, _ = build(tmp_path / name,
                          optim=dict(accumulative_counts=4))
        if count is None:
            runner._hooks = [
                x for x in runner.hooks if not isinstance(x, DivergenceHook)]
        runner.train()
        states.append(state_of(runner))
    assert_same(*states)


def test_steps_may_be_skipped_up_to_a_limit(tmp_path):
    runner, recorder = build(tmp_path / 'one', NAN, max_skipped=1)
    kept = []
    recorder.after_train_iter = lambda runner, **_: kept.append(
        (recorder.before[0], state_of(runner)[0]))
    runner.train()
    assert runner.iter == 6
    same = [
        all(torch.equal(a[key], b[key]) for key in a) for a, b in kept
    ]
    assert same == [False, False, False, True, False, False]
    text = next((tmp_path / 'one').glob('*/*.log')).read_text()
    assert 'The step is skipped, number 1 of 1' in text


def test_accumulated_gradients_are_lost_with_the_bad_one(tmp_path):
    # steps are due at 3 and 6
    runner, recorder = build(
        tmp_path, NAN, optim=dict(accumulative_counts=3))
    seen = {}
    recorder.before_train_iter = lambda runner, **_: seen.setdefault(
        runner.iter, state_of(runner))
    with pytest.raises(DivergedError, match='iteration 4: loss, loss_a '):
        runner.train()
    weights, averaged, momentum = state_of(runner)
    assert runner.iter == 5
    assert_same([weights, momentum], [seen[3][0], seen[3][2]])
    assert all(x.isfinite().all() for x in averaged.values())
    # a checkpoint between two steps has healthy statistics
    saved = torch.load(tmp_path / 'iter_4.pth', weights_only=False)
    assert_same(saved['ema_state_dict']['module.norm.running_mean'],
                seen[3][0]['norm.running_mean'])


@pytest.mark.skipif(
    not hasattr(torch.amp, 'GradScaler'), reason='has none for the CPU')
@pytest.mark.parametrize('clip', [None, dict(max_norm=1.)])
def test_what_a_gradient_scaler_skips_is_no_divergence(tmp_path, clip):
    optim = dict(type='ScaledOptimWrapper', clip_grad=clip)
    runner, recorder = build(tmp_path / 'scale', 3e6, optim=dict(optim))
    runner.train()
    assert runner.optim_wrapper.loss_scaler.get_scale() < 2.**16
    runner, recorder = build(tmp_path / 'nan', NAN, optim=dict(optim))
    with pytest.raises(DivergedError, match='iteration 4: loss, loss_a '):
        runner.train()
    assert_same(state_of(runner), recorder.before)


class Overflow(Hook):
    """Stands for a step that is too large, as the last one of all."""

    def after_train_iter(self, runner, **_):
        if runner.iter == 2:
            runner.model.linear.weight.data.fill_(INF)


@pytest.mark.parametrize('saves', [True, False])
def test_infinite_weights_are_neither_saved_nor_validated(tmp_path, saves):
    runner, _ = build(tmp_path, iters=3)
    checkpoints = next(
        x for x in runner.hooks if isinstance(x, CheckpointHook))
    checkpoints.interval, checkpoints.save_last = 100, saves
    runner.register_hook(Overflow())
    with pytest.raises(DivergedError, match="infinite: .'linear.weight'"):
        runner.train()
    assert not [*tmp_path.glob('*.pth')]


def test_new_optimizer_of_a_stage_is_watched(tmp_path):
    runner, _ = build(tmp_path)
    hook = DivergenceHook()
    wrappers = []
    for _ in range(2):
        weight = nn.Parameter(torch.ones(2))
        runner.optim_wrapper = OptimWrapper(torch.optim.SGD([weight], lr=1.))
        hook.before_train_epoch(runner)
        hook.before_train_epoch(runner)
        runner.optim_wrapper.update_params(weight.sum() * INF)
        assert weight.tolist() == [1, 1]
        wrappers.append(runner.optim_wrapper)
    assert hook._watched == wrappers[1:]


def test_infinite_loss_of_a_local_module_gives_no_finite_gradient():
    weight = nn.Parameter(torch.ones(1))
    wrapper = OptimWrapper(torch.optim.SGD([weight], lr=1.))
    scale(wrapper, weight.sum() + INF).backward()
    assert weight.grad.isnan()
