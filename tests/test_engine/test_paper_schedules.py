# Copyright (c) mmbombo contributors.
"""The papers' schedules, from the configs through the real parts."""
import os.path as osp

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from toolbox import tiny_model_cfg
from torch import nn

from mmbombo.registry import MODELS

FOLDER = osp.join(
    osp.dirname(__file__), '..', '..', 'configs', '_base_', 'schedules')
LR = 1e-3


def load(name):
    return Config.fromfile(osp.join(FOLDER, f'sgd_{name}_paper.py'))


def learning_rates(cfg):
    """Learning rate of every iteration."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))],
                                lr=cfg.optim_wrapper.optimizer.lr)
    schedulers = [
        PARAM_SCHEDULERS.build(x, default_args=dict(optimizer=optimizer))
        for x in cfg.param_scheduler
    ]
    rates = []
    for _ in range(cfg.train_cfg.max_iters):
        rates.append(optimizer.param_groups[0]['lr'])
        for scheduler in schedulers:
            scheduler.step()
    return np.array(rates)


@pytest.mark.filterwarnings('ignore')
def test_learning_rate_on_voc():
    cfg = load('voc')
    assert cfg.train_cfg.max_iters == 100 * (7656 // 7) == 109300
    rates = learning_rates(cfg)
    known = {0: 1e-4, 250: 5.5e-4, 500: 1e-3, 54900: 5.5e-4, 109299: 1e-4}
    for iteration, rate in known.items():
        np.testing.assert_allclose(rates[iteration], rate, rtol=1e-6)

    i = np.arange(109300)
    cosine = np.cos(np.pi * (i - 500) / (109300 - 500))
    wanted = LR * np.where(i < 500, .1 + .9 * i / 500, .55 + .45 * cosine)
    np.testing.assert_allclose(rates, wanted, rtol=1e-6)


def test_coco_differs_in_length_only():
    voc, coco = load('voc'), load('coco')
    assert coco.train_cfg.max_iters == 140 * (14655 // 7)
    assert coco.train_cfg.val_interval % (14655 // 7) == 0
    assert coco.param_scheduler[1].end == coco.train_cfg.max_iters
    for cfg in (voc, coco):
        for key in ('max_iters', 'train_cfg'):
            cfg.pop(key)
        cfg.param_scheduler[1].pop('end')
    assert voc.to_dict() == coco.to_dict()


def test_one_dimensional_parameters_do_not_decay():
    model = MODELS.build(tiny_model_cfg())
    wrapper = build_optim_wrapper(model, load('voc').optim_wrapper)
    names = {id(p): name for name, p in model.named_parameters()}
    decayed, kept = set(), set()
    for group in wrapper.param_groups:
        assert group['lr'] == LR and group['momentum'] == .9
        for p in group['params']:
            if p.ndim == 0:  # GFL's scales; the papers' network has none
                continue
            (decayed if group['weight_decay'] == 5e-4 else kept).add(
                names[id(p)])
            assert group['weight_decay'] == (0 if p.ndim == 1 else 5e-4)
    assert {
        'neck.fpn_convs.0.conv.weight', 'task_heads.det.head.gfl_cls.weight'
    } <= decayed
    assert {'neck.fpn_convs.0.conv.bias', 'backbone.bn1.weight'} <= kept
    assert not any(name.endswith('.bias') for name in decayed)


@pytest.fixture
def average():
    """The averaged model as the hook of the config builds it."""
    hook, = load('voc').custom_hooks
    hook.pop('type')
    cfg = dict(type=hook.pop('ema_type'), update_buffers=True, **hook)
    model = nn.BatchNorm1d(2).double()
    return MODELS.build(cfg, default_args=dict(model=model))


def constant(value):
    model = nn.BatchNorm1d(2).double()
    for x in (*model.parameters(), *model.buffers()):
        x.data.fill_(value)
    return model


@pytest.mark.parametrize('updates, decay', [(100, .048761), (2000, .631994),
                                            (10000, .993063),
                                            (100000, .999800)])
def test_decay_of_the_average(average, updates, decay):
    for x in average.module.state_dict().values():
        x.fill_(1)
    average.steps.fill_(updates - 1)
    average.update_parameters(constant(0.))
    for key in ('weight', 'bias', 'running_mean', 'running_var'):
        got = average.module.state_dict()[key]
        np.testing.assert_allclose(got, decay, atol=5e-7)


def test_average_is_the_papers_but_for_the_first_update(average):
    """At t = 1 MMEngine copies; the paper keeps 0.0005 of the first weights.

    So the average differs by less than 0.0005 of the first step's change, and
    by nothing after a few updates.
    """
    values = np.random.default_rng(0).normal(size=201)
    paper = values[0]
    for t, value in enumerate(values[1:], start=1):
        decay = .9998 * (1 - np.exp(-t / 2000))
        paper = decay * paper + (1 - decay) * value
        average.update_parameters(constant(value))
        difference = abs(float(average.module.weight[0]) - paper)
        assert difference <= 5e-4 * abs(values[1] - values[0])
        assert t < 4 or difference < 1e-9
