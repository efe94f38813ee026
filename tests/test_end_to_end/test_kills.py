# Copyright (c) mmbombo contributors.
"""A training that is killed anywhere goes on as if nothing had happened.

``MMBOMBO_KILLS=100 pytest -s tests/test_end_to_end/test_kills.py -k many``
kills it a hundred times, and says how many were survived.
"""
import os
import random
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

ITERS, EVERY = 18, 6
#: Imported by the config: KILL=KIND:N ends the N-th of a kind of events.
KILLER = '''
import os
import signal
import time
from pathlib import Path

from mmengine.fileio import LocalBackend
from mmengine.runner import ValLoop

from mmbombo.utils import atomic_write

MAIN = os.getpid()
KIND, COUNT = os.environ.get('KILL', ':0').split(':')
left = int(COUNT)


def dies(kind, half):
    global left
    left -= kind == KIND
    if kind == KIND and left <= 0:
        half()
        os.kill(MAIN, signal.SIGKILL)
        time.sleep(60)


def at(owner, name, kind, half=lambda *args: None):
    whole = getattr(owner, name)

    def call(*args, **kwargs):
        dies(kind() if callable(kind) else kind, lambda: half(*args))
        return whole(*args, **kwargs)

    setattr(owner, name, call)


def put_half(self, data, path):
    open(path, 'wb').write(data[:len(data) // 2])


def write_half(self, data):
    self.open('wb').write(data[:len(data) // 2])


at(LocalBackend, 'put', 'saving', put_half)
at(LocalBackend, 'remove', 'removing')
at(atomic_write.os, 'replace',
   lambda: 'renaming' if os.getpid() == MAIN else 'other')
at(ValLoop, 'run_iter', 'validation')
at(Path, 'write_bytes',
   lambda: 'index' if os.getpid() == MAIN else 'cache', write_half)
'''
#: How often each happens in an undisturbed run, at least.
KINDS = dict(saving=6, removing=3, renaming=8, validation=6, index=4, cache=8)


def everything_on(cfg):
    cfg.train_dataloader.update(num_workers=2, persistent_workers=True)
    cfg.custom_hooks = [dict(type='PredictorEMAHook', momentum=0.1)]
    cfg.custom_imports = dict(imports=['killer'])
    cfg.train_cfg.val_interval = EVERY
    cfg.default_hooks.checkpoint.update(interval=EVERY, max_keep_ckpts=1)


@pytest.fixture(scope='module')
def run(shapes, make_config, commands, environment, logs, tmp_path_factory):
    """Trains in a work directory; kills it if told so."""
    folder = tmp_path_factory.mktemp('kills')
    (folder / 'killer.py').write_text(KILLER)
    data = Path(shutil.copytree(shapes, folder / 'data'))
    config = make_config(
        folder / 'config.py', data, iters=ITERS, validate=True,
        change=everything_on)
    path = os.pathsep.join([environment['PYTHONPATH'], str(folder)])

    def start(work_dir, kill='', *arguments):
        shutil.rmtree(data / 'pseudo_masks', ignore_errors=True)
        return commands.run('tools/train.py', config, '--work-dir', work_dir,
                            *arguments, env=dict(PYTHONPATH=path, KILL=kill)
                            if kill else dict(PYTHONPATH=path))

    def results(work_dir):
        """What a training leaves: all weights, and each validation."""
        files = sorted(work_dir.glob('*.pth'))
        scalars = {}
        for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
            for line in logs.read_file(file).val:
                scalars[line['step']] = line
        return SimpleNamespace(
            names=[x.name for x in files], scalars=scalars, content=[
                torch.load(x, weights_only=False) for x in files])

    return SimpleNamespace(start=start, results=results, folder=folder)


@pytest.fixture(scope='module')
def whole(run):
    done = run.start(run.folder / 'whole')
    assert done.returncode == 0, done.output[-5000:]
    return run.results(run.folder / 'whole')


def differences(results, whole):
    """What is not as in the undisturbed run."""
    found = []
    for name, ours, theirs in zip(whole.names, results.content,
                                  whole.content):
        for part in ('state_dict', 'ema_state_dict', 'optimizer',
                     'param_schedulers'):
            one, other = ours.get(part), theirs.get(part)
            if not same(one, other):
                found.append(f'{name}: {part}')
    if results.names != whole.names:
        found.append(f'{results.names} for {whole.names}')
    if repr(results.scalars) != repr(whole.scalars):
        found.append(f'{results.scalars} for {whole.scalars}')
    return found


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if torch.is_tensor(one) else one == other


@pytest.mark.parametrize('kind', KINDS)
def test_a_kill_changes_nothing(run, whole, kind):
    work_dir = run.folder / kind
    killed = run.start(work_dir, f'{kind}:{min(3, KINDS[kind])}')
    assert killed.returncode == -signal.SIGKILL, killed.output[-5000:]
    done = run.start(work_dir, '', '--resume')
    assert done.returncode == 0, done.output[-5000:]
    assert differences(run.results(work_dir), whole) == []
    assert not list(work_dir.glob('.*.tmp'))


def test_a_best_checkpoint_that_was_replaced_is_removed(run, whole):
    """After a kill between the last file that is written and the removal."""
    work_dir = run.folder / 'replaced'
    killed = run.start(work_dir, 'removing:2')
    assert killed.returncode == -signal.SIGKILL, killed.output[-5000:]
    assert len(list(work_dir.glob('best_*'))) == 2
    done = run.start(work_dir, '', '--resume')
    assert done.returncode == 0, done.output[-5000:]
    assert differences(run.results(work_dir), whole) == []


@pytest.mark.skipif('MMBOMBO_KILLS' not in os.environ, reason='takes long')
def test_many_kills_change_nothing(run, whole):
    """Each training is killed three times, and then left alone."""
    draw = random.Random(0)
    kills = trainings = exact = 0
    began = time.time()
    while kills < int(os.environ['MMBOMBO_KILLS']):
        work_dir = run.folder / f'many{trainings}'
        done = SimpleNamespace(returncode=1)
        tried = []
        for _ in range(3):
            kind = draw.choice([*KINDS])
            tried.append(f'{kind}:{draw.randint(1, KINDS[kind])}')
            done = run.start(work_dir, tried[-1], '--resume')
            killed = done.returncode == -signal.SIGKILL
            assert killed or done.returncode == 0, done.output[-5000:]
            kills += killed
        done = run.start(work_dir, '', '--resume')
        assert done.returncode == 0, done.output[-5000:]
        found = differences(run.results(work_dir), whole)
        trainings += 1
        exact += not found
        print(f'{kills} kills, {exact} of {trainings} trainings exact, '
              f'{time.time() - began:.0f} s; last {tried} {found}', flush=True)
        shutil.rmtree(work_dir)
    assert exact == trainings
