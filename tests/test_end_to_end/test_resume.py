# Copyright (c) mmbombo contributors.
"""A training that was killed goes on as if nothing had happened."""
import os
import signal
from types import SimpleNamespace

import pytest

ITERS = 28
SAVED_EVERY = 8
KILL_AFTER = 10
COMPARED = 20
#: A module of its own, which the config of the killed run imports.
KILL_HOOK = f"""
import os
import signal

from mmengine.hooks import Hook

from mmbombo.registry import HOOKS


@HOOKS.register_module()
class KillHook(Hook):
    priority = 'LOWEST'

    def after_train_iter(self, runner, **kwargs):
        if runner.iter + 1 == {KILL_AFTER}:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def everything_on(cfg):
    """Workers, random augmentation, dropout, EMA, validation, a schedule."""
    cfg.train_dataloader.update(num_workers=2, persistent_workers=True)
    cfg.model.weak_losses[1].update(predictor='ema', score_thr=0.005)
    cfg.custom_hooks = [dict(type='PredictorEMAHook', momentum=0.1)]
    cfg.train_cfg.val_interval = ITERS // 4
    cfg.default_hooks.checkpoint.interval = SAVED_EVERY
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0,
             end=4),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=4, end=ITERS)
    ]
    assert cfg.model.task_heads.seg.head.dropout_ratio > 0


def kill_too(cfg):
    everything_on(cfg)
    cfg.custom_imports = dict(imports=['kill_hook'])
    cfg.custom_hooks.append(dict(type='KillHook'))


@pytest.fixture(scope='module')
def runs(shapes, make_config, train, commands, logs, environment,
         tmp_path_factory):
    """An uninterrupted run, and one that is killed and resumed."""
    folder = tmp_path_factory.mktemp('resume')
    whole_config, killed_config = (
        make_config(
            folder / name, shapes, iters=ITERS, validate=True, change=change)
        for name, change in (('whole.py', everything_on), ('killed.py',
                                                           kill_too)))
    whole = train(whole_config)

    work_dir = folder / 'killed'
    (folder / 'kill_hook.py').write_text(KILL_HOOK)
    path = os.pathsep.join([environment['PYTHONPATH'], str(folder)])
    ended = commands.run('tools/train.py', killed_config, '--work-dir',
                         work_dir, env=dict(PYTHONPATH=path))
    assert ended.returncode == -signal.SIGKILL, ended.output[-5000:]
    killed = logs.read_scalars(work_dir)
    saved = (work_dir / 'last_checkpoint').read_text()

    resumed = commands.run('tools/train.py', whole_config, '--work-dir',
                           work_dir, '--resume', 'auto')
    assert resumed.returncode == 0, resumed.output[-5000:]
    return SimpleNamespace(
        whole=whole.scalars, killed=killed, saved=saved,
        resumed=logs.read_scalars(work_dir), output=resumed.output)


def test_it_was_killed_between_checkpoints(runs):
    assert SAVED_EVERY < KILL_AFTER < 2 * SAVED_EVERY
    assert runs.saved.endswith(f'iter_{SAVED_EVERY}.pth')
    assert runs.killed.train == runs.whole.train[:KILL_AFTER]


def test_losses_go_on_as_in_the_uninterrupted_run(runs):
    whole = runs.whole.train[SAVED_EVERY:]
    assert len(runs.resumed.train) == len(whole) >= COMPARED
    for resumed, expected in zip(runs.resumed.train, whole):
        assert resumed == pytest.approx(expected, rel=1e-6, abs=1e-6), (
            expected['step'])


def test_so_does_validation(runs):
    assert len(runs.whole.val) == 4
    assert len(runs.resumed.val) == 3
    for resumed, whole in zip(runs.resumed.val, runs.whole.val[1:]):
        assert resumed == pytest.approx(
            whole, rel=1e-6, abs=1e-6, nan_ok=True)
