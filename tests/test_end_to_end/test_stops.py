# Copyright (c) mmbombo contributors.
"""Signals, full disks and second runs stop a training in one line."""
import os
import resource
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from mmbombo.utils.folder_lock import lock_folder

ITERS = 6
#: Signals itself, and what it started, in the middle of a step.
SIGNALS = '''
import os
import signal
import time

from mmengine.hooks import Hook

from mmbombo.registry import HOOKS

NAME, WHERE = os.environ['SIGNAL'].split(':')
if 'RANK' not in os.environ:
    os.setpgrp()


@HOOKS.register_module()
class SignalHook(Hook):

    def at(self, where):
        if os.environ.get('RANK', '1') == '1' and where == WHERE:
            if 'RANK' in os.environ:
                os.kill(os.getpid(), getattr(signal, NAME))
            else:
                os.killpg(0, getattr(signal, NAME))
            time.sleep(.1)

    def before_train_iter(self, runner, **kwargs):
        self.at(f'step{runner.iter}')

    def before_val_iter(self, runner, batch_idx, **kwargs):
        self.at(f'val{batch_idx}')
'''


def signaled(cfg):
    cfg.train_dataloader.update(num_workers=2, persistent_workers=True)
    cfg.custom_imports = dict(imports=['signals'])
    cfg.custom_hooks = [dict(type='SignalHook')]
    cfg.default_hooks.checkpoint.interval = 3
    cfg.train_cfg.val_interval = 3


@pytest.fixture(scope='module')
def stopping(shapes, make_config, environment, tmp_path_factory):
    folder = tmp_path_factory.mktemp('stops')
    (folder / 'signals.py').write_text(SIGNALS)
    config = make_config(folder / 'config.py', shapes, iters=ITERS,
                         validate=True, change=signaled)
    path = os.pathsep.join([environment['PYTHONPATH'], str(folder)])
    return SimpleNamespace(folder=folder, config=config, env=dict(
        PYTHONPATH=path, SIGNAL='none:never'))


@pytest.mark.parametrize('name, where, saved, status', [
    ('SIGTERM', 'step1', 2, 143),
    ('SIGINT', 'step4', 5, 130),
    ('SIGTERM', 'val0', 3, 143),
])
def test_a_signal_saves_a_checkpoint(commands, stopping, name, where, saved,
                                     status):
    work_dir = stopping.folder / f'{name}{where}'
    arguments = ('tools/train.py', stopping.config, '--work-dir', work_dir)
    done = commands.run(
        *arguments, env=dict(stopping.env, SIGNAL=f'{name}:{where}'))
    assert done.returncode == status, done.output[-5000:]
    line = done.output.splitlines()[-1]
    assert f'{name}: the training ends at iteration {saved}; ' in line
    assert line.endswith(f'iter_{saved}.pth is saved; --resume goes on from '
                         'it')
    assert (work_dir / 'last_checkpoint').read_text() == f'iter_{saved}.pth'
    moved = work_dir.rename(stopping.folder / f'{name}{where}_moved')
    done = commands.run('tools/train.py', stopping.config, '--work-dir', moved,
                        '--resume', env=stopping.env)
    assert done.returncode == 0, done.output[-5000:]
    assert f'iter: {saved}' in done.output
    assert ('validation at iteration 3 is repeated' in done.output) == (
        where == 'val0')
    assert len(list(moved.glob('best_*'))) == 1


def test_a_damaged_checkpoint_is_passed_over(commands, stopping):
    work_dir = stopping.folder / 'damaged'
    arguments = ('tools/train.py', stopping.config, '--work-dir', work_dir)
    assert commands.run(*arguments, env=stopping.env).returncode == 0
    last = work_dir / f'iter_{ITERS}.pth'
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    done = commands.run(*arguments, '--resume', env=stopping.env)
    assert done.returncode == 0, done.output[-5000:]
    assert (f'{last} is damaged or gone: the training goes on from '
            f'{work_dir}/iter_3.pth') in done.output
    for file in work_dir.glob('iter_*.pth'):
        file.write_bytes(file.read_bytes()[:1000])
    done = commands.run(*arguments, '--resume', env=stopping.env)
    assert done.returncode == 1
    assert done.output.splitlines()[-1].startswith(
        f'UserError: {last} is damaged or gone, and {work_dir} has no ')


def test_a_full_disk_is_one_line(commands, stopping):
    """A limit of the size of files stands for it."""
    work_dir = stopping.folder / 'full'
    arguments = ('tools/train.py', stopping.config, '--work-dir', work_dir)
    done = commands.run(*arguments, '--iters', 3, env=stopping.env)
    assert done.returncode == 0, done.output[-5000:]
    before = {x: x.read_bytes() for x in work_dir.glob('*.pth')}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        done = commands.run(*arguments, '--resume', env=stopping.env)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert done.returncode == 1
    assert 'Traceback' not in done.output
    assert done.output.splitlines()[-1] == (
        f"OSError: [Errno 27] File too large: '{work_dir}/iter_6.pth'")
    assert before == {x: x.read_bytes() for x in work_dir.glob('*.pth')}


def test_a_second_run_refuses(commands, stopping):
    """The lock of a killed process is gone, though its forks live on."""
    work_dir = stopping.folder / 'two'
    arguments = ('tools/train.py', stopping.config, '--work-dir', work_dir,
                 '--iters', 1)
    held = lock_folder(str(work_dir))
    refused = commands.run(*arguments, env=stopping.env)
    assert refused.returncode == 1
    assert refused.output.splitlines()[-1].startswith(
        f'UserError: {work_dir}: another training writes there (process '
        f'{os.getpid()} of ')
    shared = commands.run(*arguments, '--share-work-dir', env=stopping.env)
    assert shared.returncode == 0, shared.output[-5000:]
    held.close()
    lock_folder(str(work_dir)).close()


@pytest.mark.parametrize('name, options, message', [
    ('SIGTERM', [], 'SIGTERM: the training ends at iteration '),
    ('SIGSTOP', ['env_cfg.dist_cfg.timeout=8'],
     'UserError: rank(s) [1] did not answer within env_cfg.dist_cfg.timeout'),
])
def test_ranks_end_alike(stopping, environment, tmp_path, name, options,
                         message):
    """One rank gets the signal, and both save and end."""
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone',
               '--nproc_per_node=2', 'tools/train.py', stopping.config,
               '--launcher', 'pytorch', '--work-dir', tmp_path,
               '--cfg-options', 'train_dataloader.num_workers=0',
               'train_dataloader.persistent_workers=False', *options]
    began = time.time()
    done = subprocess.run(
        [*map(str, command)], env={**os.environ, **environment,
                                   **stopping.env,
                                   'SIGNAL': f'{name}:step1',
                                   'CUDA_VISIBLE_DEVICES': ''},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=300)
    assert message in done.stdout, done.stdout[-5000:]
    if name == 'SIGTERM':
        step = int(done.stdout.split(message)[1].split(';')[0])
        assert step in (2, 3)
        saved = torch.load(tmp_path / f'iter_{step}.pth', weights_only=False)
        assert saved['meta']['iter'] == step
        # torchrun may end the other one while it ends
        assert 'exitcode  : 143' in done.stdout
    assert time.time() - began < 200
