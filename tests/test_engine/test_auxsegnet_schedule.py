# Copyright (c) mmbombo contributors.
"""AuxSegNet's published stage, group by group."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from toolbox import model_of_config

from mmbombo.registry import MODELS

FOLDER = Path(__file__).parents[2] / 'configs/auxsegnet'


def config(name):
    return Config.fromfile(FOLDER / f'auxsegnet_wrn38_{name}.py')


@pytest.mark.parametrize('name, images', [('voc', 10582), ('coco', 118287)])
def test_a_stage_has_15_epochs(name, images):
    cfg = config(name)
    assert cfg.train_cfg.max_iters == images // 4 * 15
    decay, = cfg.param_scheduler
    assert (decay.end, decay.power) == (cfg.train_cfg.max_iters + 1, 0.9)


def test_groups():
    cfg = config('voc')
    model = model_of_config(cfg, 64)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    groups = {
        id(x): group
        for group in wrapper.param_groups
        for x in group['params']
    }
    seen = set()
    for key, x in model.named_parameters():
        if not x.requires_grad:
            assert '.bn' in key or key == 'backbone.conv1a.weight'
            continue
        group = groups[id(x)]
        factor = 1 if key.startswith('backbone') or '.cross.' in key else 10
        seen.add((key.split('.')[0], factor))
        assert group['lr'] == pytest.approx(factor * 7e-4)
        # the published optimizer's accident
        assert (group['momentum'], group['weight_decay']) == (1e-5, 0)
    assert seen == {('backbone', 1), ('task_heads', 1), ('task_heads', 10)}
    assert cfg.sgd_with_momentum == dict(
        type='SGD', lr=7e-4, momentum=.9, weight_decay=1e-5)


@pytest.mark.parametrize('name, total', [('voc', 115_315_562),
                                         ('coco', 115_569_002)])
def test_sizes_of_the_network(name, total):
    cfg = config(name)
    with torch.device('meta'):
        parts = [
            MODELS.build(cfg.model.task_heads.aux),
            MODELS.build(cfg.model.backbone)
        ]
    # on VOC 66,560 less than the published one, whose layers are not all read
    assert sum(x.numel() for part in parts for x in part.parameters()) == total
