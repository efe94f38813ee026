# Copyright (c) mmbombo contributors.
"""How ``train.py`` and ``test.py`` write their options into a config."""
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from toolbox import load_script

from mmbombo.registry import VISUALIZERS
from mmbombo.utils import UserError

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def merge(monkeypatch, name, cfg, *options):
    """The config of a file without bases, with command-line options."""
    tool = load_script(TOOLS / f'{name}.py')
    monkeypatch.setattr(sys, 'argv', [name, 'own.py', *options])
    return tool.merge_args(Config(cfg), tool.parse_args())


@pytest.mark.parametrize('name, options', [('train', []),
                                           ('test', ['weights.pth'])])
def test_default_scope(monkeypatch, name, options):
    assert merge(monkeypatch, name, {}, *options).default_scope == 'mmbombo'
    cfg = merge(monkeypatch, name, dict(default_scope='mmdet'), *options)
    assert cfg.default_scope == 'mmdet'


@pytest.mark.parametrize('train_cfg, iters, message', [
    (dict(max_iters=3), '0', '--iters: 0 iterations are no training'),
    (dict(max_epochs=3), '5', '--iters: the schedule counts epochs'),
])
def test_unfit_iterations(monkeypatch, train_cfg, iters, message):
    with pytest.raises(SystemExit, match=message):
        merge(monkeypatch, 'train', dict(train_cfg=train_cfg), '--iters',
              iters)


def test_an_interval_that_is_given_is_not_scaled(monkeypatch):
    cfg = dict(train_cfg=dict(
        type='IterBasedTrainLoop', max_iters=1000, val_interval=100))
    scaled = merge(monkeypatch, 'train', cfg, '--iters', '500').train_cfg
    assert (scaled.max_iters, scaled.val_interval) == (500, 50)
    given = merge(monkeypatch, 'train', cfg, '--iters', '500',
                  '--cfg-options', 'train_cfg.val_interval=500').train_cfg
    assert (given.max_iters, given.val_interval) == (500, 500)


@pytest.mark.parametrize('cfg', [
    {},
    dict(default_hooks=dict(checkpoint=dict(type='CheckpointHook'))),
    dict(default_hooks=dict(visualization=None)),
])
def test_show_dir_adds_what_draws(monkeypatch, cfg):
    merged = merge(monkeypatch, 'test', cfg, 'weights.pth', '--show-dir', 'a')
    hooks = merged.default_hooks
    assert hooks.pop('visualization') == dict(
        type='MultiTaskVisualizationHook', draw=True, test_out_dir='a')
    assert set(hooks) == set(cfg.get('default_hooks', {})) - {'visualization'}
    VISUALIZERS.build(dict(merged.visualizer, name='show_dir'))


def test_show_dir_keeps_the_hook_of_the_config(monkeypatch):
    hook = dict(type='DetVisualizationHook', score_thr=.5)
    cfg = dict(
        default_hooks=dict(visualization=hook), visualizer=dict(type='X'))
    merged = merge(monkeypatch, 'test', cfg, 'weights.pth', '--show-dir', 'a')
    assert merged.default_hooks.visualization == dict(
        hook, draw=True, test_out_dir='a')
    assert merged.visualizer == dict(type='X')


@pytest.mark.parametrize('found, load_from, wanted', [
    (False, 'begin.pth', (False, 'begin.pth')),
    (True, 'begin.pth', (True, None)),
    (False, None, (True, None)),
    (True, None, (True, None)),
])
def test_resume_auto_begins_from_load_from(monkeypatch, tmp_path, found,
                                           load_from, wanted):
    if found:
        (tmp_path / 'last_checkpoint').write_text('iter_2.pth')
    cfg = merge(monkeypatch, 'train', dict(load_from=load_from), '--work-dir',
                str(tmp_path), '--resume', 'auto')
    assert (cfg.resume, cfg.load_from) == wanted


@pytest.mark.parametrize('out, writable', [('new/metrics.json', True),
                                           ('file/metrics.json', False),
                                           ('folder.json', False)])
def test_where_metrics_go(tmp_path, out, writable):
    tool = load_script(TOOLS / 'test.py')
    (tmp_path / 'file').touch()
    (tmp_path / 'folder.json').mkdir()
    if writable:
        tool.require_writable(str(tmp_path / out))
        assert not (tmp_path / out).exists()
    else:
        with pytest.raises(UserError, match=f'--out .*{out}: '):
            tool.require_writable(str(tmp_path / out))


def test_windows_need_a_display(monkeypatch):
    backends = iter(['agg', 'TkAgg'])
    monkeypatch.setattr('matplotlib.get_backend', lambda: next(backends))
    with pytest.raises(UserError, match='--show: there is no display'):
        merge(monkeypatch, 'test', {}, 'weights.pth', '--show')
    hook = merge(monkeypatch, 'test', {}, 'weights.pth', '--show',
                 '--wait-time', '0').default_hooks.visualization
    assert hook.show and hook.draw and hook.wait_time == 0
    assert hook.test_out_dir is None


RESIZE = dict(type='mmdet.Resize', scale=(448, 224), keep_ratio=True)
FLIPS = [dict(type='mmdet.RandomFlip', prob=x) for x in (0., 1.)]
LOAD, TRUTH, PACK = dict(type='Load'), dict(type='Truth'), dict(type='Pack')


def test_cfg(*pipeline, **kwargs):
    source = dict(type='Source', pipeline=list(pipeline))
    return dict(
        model=dict(type='MultiTaskDetector'),
        test_dataloader=dict(
            batch_size=8,
            dataset=dict(datasets=[source, dict(dataset=source)])), **kwargs)


test_cfg.__test__ = False


@pytest.mark.parametrize('pipeline, scales, wanted', [
    ([LOAD, RESIZE, TRUTH, PACK], [],
     [LOAD, [[RESIZE], FLIPS, [TRUTH], [PACK]]]),
    ([LOAD, RESIZE, TRUTH, PACK], ['0.75', '1'],
     [LOAD, [[dict(RESIZE, scale=(336, 168)), RESIZE], FLIPS, [TRUTH],
             [PACK]]]),
    # without Resize: the truth, which is loaded after the image, stays
    ([LOAD, TRUTH, PACK], [], [[[LOAD], FLIPS, [TRUTH], [PACK]]]),
])
def test_views_of_an_image(monkeypatch, pipeline, scales, wanted):
    cfg = merge(monkeypatch, 'test', test_cfg(*pipeline), 'weights.pth',
                '--tta', *scales)
    assert cfg.model == dict(
        type='MultiTaskTTAModel', module=dict(type='MultiTaskDetector'))
    assert cfg.test_dataloader.batch_size == 1
    first, second = cfg.test_dataloader.dataset.datasets
    *steps, views = first.pipeline
    assert second.dataset.pipeline == first.pipeline
    assert [*steps, views.transforms] == wanted and views.type == 'TestTimeAug'


def test_views_of_the_config(monkeypatch):
    own = dict(tta_model=dict(type='DetTTAModel'), tta_pipeline=[LOAD, PACK])
    cfg = merge(monkeypatch, 'test', test_cfg(LOAD, RESIZE, PACK, **own),
                'weights.pth', '--tta')
    first, second = cfg.test_dataloader.dataset.datasets
    assert first.pipeline == second.dataset.pipeline == [LOAD, PACK]
    assert cfg.model.type == 'DetTTAModel'
    # scales of the command line are meant
    cfg = merge(monkeypatch, 'test', test_cfg(LOAD, RESIZE, PACK, **own),
                'weights.pth', '--tta', '2')
    assert cfg.test_dataloader.dataset.datasets[0].pipeline != [LOAD, PACK]


@pytest.mark.parametrize('model, pipeline, options, message', [
    ('OANet', [LOAD, PACK], [], 'has no tta_model, and OANet no default'),
    ('MultiTaskDetector', [LOAD, PACK], ['2'], 'no Resize of the test pipel'),
    ('MultiTaskDetector', [LOAD, dict(type='Resize', scale_factor=2.), PACK],
     ['2'], 'no Resize of the test pipeline has a scale'),
])
def test_no_views(monkeypatch, model, pipeline, options, message):
    cfg = dict(test_cfg(*pipeline), model=dict(type=model))
    with pytest.raises(UserError, match=f'--tta: .*{message}'):
        merge(monkeypatch, 'test', cfg, 'weights.pth', '--tta', *options)
