# Copyright (c) mmbombo contributors.
"""A training that was killed goes on as if nothing had happened."""
import os
import signal
import subprocess
from types import SimpleNamespace

import pytest

ITERS = 44
SAVED_EVERY = 16
KILL_AFTER = 21
COMPARED = 20


def everything_on(cfg):
    """Workers, random augmentation, dropout, EMA, validation, a schedule."""
    cfg.train_dataloader.update(num_workers=2, persistent_workers=True)
    cfg.model.weak_losses[1].update(predictor='ema', score_thr=0.005)
    cfg.custom_hooks = [dict(type='PredictorEMAHook', momentum=0.1)]
    cfg.train_cfg.val_interval = ITERS // 4
    cfg.default_hooks.checkpoint.interval = SAVED_EVERY
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0,
             end=8),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=8, end=ITERS)
    ]
    assert cfg.model.task_heads.seg.head.dropout_ratio > 0


@pytest.fixture(scope='module')
def runs(shapes, make_config, train, commands, logs, waiting,
         tmp_path_factory):
    """An uninterrupted run, and one that is killed and resumed."""
    folder = tmp_path_factory.mktemp('resume')
    config = make_config(
        folder / 'whole.py', shapes, iters=ITERS, validate=True,
        change=everything_on)
    whole = train(config)

    work_dir = folder / 'killed'
    log = folder / 'killed.log'
    arguments = ('tools/train.py', config, '--work-dir', work_dir)
    with open(log, 'w') as out:
        process = subprocess.Popen(
            commands.command_line(*arguments), stdout=out,
            stderr=subprocess.STDOUT, cwd=folder, start_new_session=True,
            env={**os.environ, **waiting.environment})
    waiting.wait_for(
        lambda: logs.iterations_run(work_dir) >= KILL_AFTER, process, log)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    killed = logs.read_scalars(work_dir)
    saved = (work_dir / 'last_checkpoint').read_text()

    resumed = commands.run_fresh(*arguments, '--resume', 'auto')
    assert resumed.returncode == 0, resumed.output[-5000:]
    return SimpleNamespace(
        whole=whole.scalars, killed=killed, saved=saved,
        resumed=logs.read_scalars(work_dir), output=resumed.output)


def test_it_was_killed_between_checkpoints(runs):
    done = len(runs.killed.train)
    assert KILL_AFTER <= done < 2 * SAVED_EVERY
    assert runs.saved.endswith(f'iter_{SAVED_EVERY}.pth')
    assert runs.killed.train == runs.whole.train[:done]


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
