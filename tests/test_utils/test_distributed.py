# Copyright (c) mmbombo contributors.
import pytest
from mmengine.config import Config

from mmbombo.utils import distributed, prepare_cpu_processes

DEFAULT = dict(
    type='MMDistributedDataParallel',
    device_ids=None,
    broadcast_buffers=False,
    find_unused_parameters=False)


@pytest.mark.parametrize('given, wanted', [
    ({}, DEFAULT),
    (dict(find_unused_parameters=True),
     dict(DEFAULT, find_unused_parameters=True)),
    (dict(model_wrapper_cfg=dict(type='Mine', static_graph=True)),
     dict(type='Mine', static_graph=True, device_ids=None)),
])
def test_the_wrapper_of_the_config_is_kept(monkeypatch, given, wanted):
    monkeypatch.setattr(distributed.torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(distributed.dist, 'is_initialized', lambda: True)
    cfg = Config(dict(launcher='pytorch', **given))
    prepare_cpu_processes(cfg)
    assert cfg.model_wrapper_cfg.to_dict() == wanted


@pytest.mark.parametrize('launcher, cuda', [('none', False),
                                            ('pytorch', True)])
def test_nothing_changes_otherwise(monkeypatch, launcher, cuda):
    monkeypatch.setattr(distributed.torch.cuda, 'is_available', lambda: cuda)
    cfg = Config(dict(launcher=launcher, find_unused_parameters=True))
    prepare_cpu_processes(cfg)
    assert 'model_wrapper_cfg' not in cfg
