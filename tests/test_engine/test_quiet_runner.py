# Copyright (c) mmbombo contributors.
import logging
import warnings

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmbombo.engine.runner import QuietRunner
from mmbombo.engine.runner.multi_task_log_processor import sum_losses
from mmbombo.engine.runner.quiet_runner import (ScreenFilter, UsedConfig,
                                                log_library_warnings)


@pytest.mark.parametrize('message, shown', [
    ('Config:\na = 1', False),
    ('paramwise_options -- backbone.conv1.weight:lr=0.1', False),
    ('"FileClient" will be deprecated in future.', False),
    ('Frozen, because no output depends on them: a', True),
    ('no box shows the segmentation class(es) road', True),
    ('The model and loaded state dict do not match exactly', True),
    ('training sources\n| det |', True),
])
def test_screen_hides_only_what_is_named(message, shown):
    record = logging.LogRecord('mmengine', logging.WARNING, 'a.py', 1, message,
                               (), None)
    assert ScreenFilter().filter(record) == shown


def test_warnings_of_libraries_go_to_the_log_file(tmp_path, recwarn):
    logger = MMLogger('quiet', log_file=str(tmp_path / 'run.log'))
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter('always')
        warnings.showwarning = lambda message, *args: seen.append(str(message))
        log_library_warnings(logger)
        for path in ('/lib/site-packages/mmdet/models/head.py',
                     '/lib/site-packages/PIL/Image.py', '/home/mmdet/mine.py'):
            warnings.warn_explicit(f'from {path}', UserWarning, path, 1)
    assert seen == [
        'from /lib/site-packages/PIL/Image.py', 'from /home/mmdet/mine.py'
    ]
    text = (tmp_path / 'run.log').read_text()
    assert 'head.py' in text and 'mine.py' not in text


def test_text_of_a_config_follows_its_changes():
    config = UsedConfig.of(
        Config(dict(model=dict(type='A'), my_variable=3, work_dir='a')))
    assert config.my_variable == 3
    assert config.pretty_text == "model = dict(type='A')\nwork_dir = 'a'\n"
    config.work_dir = 'b'
    config.model.type = 'B'
    assert config.pretty_text == "model = dict(type='B')\nwork_dir = 'b'\n"


def test_tensorboard_is_on_where_it_is_installed(monkeypatch):
    asked = []
    monkeypatch.setattr('mmengine.runner.Runner.build_visualizer',
                        lambda self, config: asked.append(config))
    runner = QuietRunner.__new__(QuietRunner)
    local = dict(type='LocalVisBackend')
    config = dict(type='Visualizer', vis_backends=[local])
    for works in (False, True):
        monkeypatch.setattr(
            'mmbombo.engine.runner.quiet_runner.tensorboard_works',
            lambda: works)
        runner.build_visualizer(config)
        runner.build_visualizer(asked[-1])
    tensorboard = dict(type='TensorboardVisBackend')
    assert [x['vis_backends'] for x in asked
            ] == [[local]] * 2 + [[local, tensorboard]] * 2


def test_losses_are_summed_by_head():
    values = {'loss': 6., 'det/loss_cls': 1., 'det/loss_bbox': 2.,
              'b4m/loss_ce': 3., 'b4m/coverage': .5, 'loss_rpn': 4., 'lr': 1.}
    assert sum_losses(values) == {'det': 3., 'b4m': 3., 'loss_rpn': 4.}
