# Copyright (c) mmbombo contributors.
"""What a training shows, what it writes to files, and that these work."""
import pytest
from mmengine.config import Config

from mmbombo.engine.runner.quiet_runner import USED_KEYS

MAX_LINES, MAX_WIDTH = 40, 160


def add_helper_variable(cfg):
    cfg.my_variable = dict(scale=(1, 2))


@pytest.fixture(scope='module')
def run(shapes, make_config, train, tmp_path_factory):
    config = make_config(
        tmp_path_factory.mktemp('screen') / 'run.py', shapes, iters=2,
        validate=True, change=add_helper_variable)
    run = train(config)
    run.config = config
    run.log, = run.work_dir.glob('*/*.log')
    return run


def test_little_is_shown_before_the_first_iteration(run):
    before, _, _ = run.output.partition('Iter(train)')
    assert before.count('\n') <= MAX_LINES
    for shown in ('mmengine', 'training sources', 'M parameters',
                  f'output: {run.work_dir}'):
        assert shown in before
    for hidden in ('paramwise', 'Hooks will be', 'avg_non_ignore', 'OneDL',
                   'deprecated', 'requires_grad'):
        assert hidden not in run.output


def test_lines_fit_on_a_screen(run):
    lines = run.output.splitlines()
    lines = [line for line in lines if 'Iter(train)' in line]
    assert len(lines) == 2 and max(map(len, lines)) <= MAX_WIDTH
    for name in ('det', 'seg', 'b4m', 'm4b', 'lr:', 'eta:'):
        assert lines[0].count(name) == 1
    last = [line for line in run.output.splitlines() if 'Iter(val)' in line]
    assert 'seg/mIoU' in last[-1] and '_IoU' not in last[-1]
    assert len(last[-1]) <= 2 * MAX_WIDTH


def test_the_log_file_and_the_scalars_have_all(run):
    text = run.log.read_text()
    for kept in ('System environment', 'Config:', 'Hooks will be executed',
                 'paramwise_options', 'Iter(train)'):
        assert kept in text
    assert run.scalars.train[0].keys() >= {
        'loss', 'lr', 'det/loss_cls', 'det/loss_bbox', 'seg/loss_ce',
        'b4m/loss_ce'
    }
    assert any(key.endswith('_IoU') for key in run.scalars.val[0])


def test_the_written_config_trains_the_same(run, train, tmp_path):
    written = Config.fromfile(run.work_dir / run.config.name)
    assert 'my_variable' in Config.fromfile(run.config)
    assert USED_KEYS.issuperset(written.keys())
    again = tmp_path / 'again.py'
    again.write_text((run.work_dir / run.config.name).read_text())
    assert train(again).scalars.train == run.scalars.train
