# Copyright (c) mmbombo contributors.
import pytest
from mmengine.config import Config

from mmbombo.utils.schedule import scale_schedule


def test_everything_that_counts_iterations_is_scaled():
    cfg = Config(
        dict(
            train_cfg=dict(max_iters=400, val_interval=200),
            default_hooks=dict(checkpoint=dict(by_epoch=False, interval=100)),
            param_scheduler=[
                dict(type='LinearLR', begin=0, end=40),
                dict(type='CosineAnnealingLR', begin=40, end=400),
                dict(type='MultiStepLR', milestones=[200, 300])
            ]))
    scale_schedule(cfg, 100)
    assert cfg.train_cfg == dict(max_iters=100, val_interval=50)
    assert cfg.default_hooks.checkpoint.interval == 25
    assert [(s.get('begin'), s.get('end'))
            for s in cfg.param_scheduler] == [(0, 10), (10, 100), (None, None)]
    assert cfg.param_scheduler[2].milestones == [50, 75]


def test_a_short_run_still_reaches_the_full_learning_rate():
    cfg = Config(
        dict(
            train_cfg=dict(max_iters=1000),
            param_scheduler=[
                dict(type='LinearLR', start_factor=.1, begin=0, end=10),
                dict(type='CosineAnnealingLR', begin=10, end=1000)
            ]))
    scale_schedule(cfg, 20)
    # one iteration of warm-up is the one at a tenth of the rate
    assert cfg.param_scheduler[0].end == 2


def test_a_schedule_in_epochs_is_refused():
    with pytest.raises(ValueError, match='epochs'):
        scale_schedule(Config(dict(train_cfg=dict(max_epochs=3))), 10)
    with pytest.raises(ValueError, match='0 iterations'):
        scale_schedule(Config(dict(train_cfg=dict(max_iters=3))), 0)
