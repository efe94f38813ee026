# Copyright (c) mmbombo contributors.
"""RRM's two published schedules, group by group."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from toolbox import model_of_config

from mmbombo.registry import MODELS, PARAM_SCHEDULERS

FOLDER = Path(__file__).parents[2] / 'configs/rrm'
SCHEDULES = {'rrm_wrn38_voc': 20000, 'rrm_wrn38_voc-from-imagenet': 31728}


@pytest.fixture(params=SCHEDULES)
def built(request):
    cfg = Config.fromfile(FOLDER / f'{request.param}.py')
    model = model_of_config(cfg, 64)
    return request.param, cfg, model, build_optim_wrapper(
        model, cfg.optim_wrapper)


def test_groups(built):
    name, cfg, model, wrapper = built
    lr, decay = dict(rrm_wrn38_voc=(7e-4, 1e-5)).get(name, (0.01, 5e-4))
    groups = {
        id(x): group
        for group in wrapper.param_groups
        for x in group['params']
    }
    seen = set()
    for key, x in model.named_parameters():
        if not x.requires_grad:
            assert '.bn' in key
            continue
        group = groups[id(x)]
        kind = key.split('.')[0], key.split('.')[-1]
        seen.add(kind)
        mult = {
            ('backbone', 'weight'): 1,
            ('task_heads', 'weight'): 10,
            ('task_heads', 'bias'): 20
        }[kind]
        assert group['lr'] == pytest.approx(mult * lr)
        assert group['weight_decay'] == (0 if kind[1] == 'bias' else decay)
        # the published optimizer's accident, and the way around
        assert group['momentum'] == decay
    assert len(seen) == 3
    assert cfg.sgd_with_momentum == dict(
        type='SGD', lr=lr, momentum=.9, weight_decay=decay)


@pytest.mark.parametrize('name, total', SCHEDULES.items())
def test_rates(name, total):
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    assert cfg.train_cfg.max_iters == total
    first = [m * cfg.optim_wrapper.optimizer.lr for m in (1, 10, 20)]
    optimizer = torch.optim.SGD([
        dict(params=[torch.zeros(1, requires_grad=True)], lr=lr)
        for lr in first
    ])
    optimizer.step()
    schedulers = [
        PARAM_SCHEDULERS.build(dict(x, optimizer=optimizer))
        for x in cfg.param_scheduler
    ]
    half = total // 2
    two = name.endswith('imagenet')
    for i in range(total):
        if i % 500 == 0 or abs(i - half) < 3 or i > total - 3:
            if not two:
                wanted = [x * (1 - i / total)**.9 for x in first]
            elif i < half:
                wanted = [x * (1 - i / half)**.9 for x in first]
            else:  # the multipliers are lost
                wanted = [7e-4 * (2 - i / half)**.9] * 3
            got = [group['lr'] for group in optimizer.param_groups]
            # the first half ends at 1e-6 instead of 0
            assert got == pytest.approx(wanted, abs=1e-6 if two else 1e-9)
        for scheduler in schedulers:
            scheduler.step()


def test_sizes_of_the_network():
    cfg = Config.fromfile(FOLDER / 'rrm_wrn38_voc.py')
    heads = cfg.model.task_heads
    with torch.device('meta'):
        parts = [
            MODELS.build(dict(heads.seg.head, num_classes=21)),
            MODELS.build(heads.cls),
            MODELS.build(cfg.model.backbone)
        ]
    total = sum(x.numel() for part in parts for x in part.parameters())
    assert total == 124_124_501
