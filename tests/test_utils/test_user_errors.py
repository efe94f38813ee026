# Copyright (c) mmbombo contributors.
"""Which exceptions are told in one line, and which keep their traceback."""
import os
import re
import signal

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS
from mmengine.runner import CheckpointLoader
from torch.utils.data import DataLoader, Dataset

from mmbombo.datasets import DatasetError, PipelineError
from mmbombo.datasets.transforms import PackMultiTaskInputs
from mmbombo.registry import MODELS, TRANSFORMS, VISUALIZERS
from mmbombo.utils import MissingFileError, UserError, user_errors
from mmbombo.utils.checkpoint import checked_loader

WEIGHTS = [torch.zeros(1, requires_grad=True)]
SGD = torch.optim.SGD(WEIGHTS, .1)


def line_of(function, *args, **kwargs):
    with pytest.raises(SystemExit) as ended:
        with user_errors():
            function(*args, **kwargs)
    return ended.value.code


def fail(kind, text='a.png: broken\n  Mend it'):
    raise kind(text)


@pytest.mark.parametrize(
    'kind', [UserError, MissingFileError, DatasetError, PipelineError])
def test_mistakes_of_users(kind):
    line = line_of(fail, kind)
    assert line == f'{kind.__name__}: a.png: broken\n  Mend it'


def test_a_tool_may_be_decorated():

    @user_errors()
    def main():
        fail(UserError, 'no')

    for _ in range(2):
        with pytest.raises(SystemExit, match='UserError: no'):
            main()


@pytest.mark.parametrize('build, cfg, message', [
    (MODELS.build, dict(type='BoxForMaskLos'),
     'KeyError: BoxForMaskLos is not in'),
    (MODELS.build, dict(type='BoxForMaskLoss', strid=2),
     "UserError: BoxForMaskLoss .*unexpected keyword argument 'strid'"),
    (VISUALIZERS.build, dict(type='MultiTaskLocalVisualizer', name='a', b=1),
     "TypeError: .*unexpected keyword argument 'b'"),
    (MODELS.build, dict(types='BoxForMaskLoss'), 'KeyError: .*the key "type"'),
    (TRANSFORMS.build, dict(type='mmdet.RandomFlip', prob='x'),
     'ValueError: RandomFlip: probs must be float'),
    (PARAM_SCHEDULERS.build,
     dict(type='LinearLR', optimizer=SGD, begin=0, end=-5),
     'ValueError: LinearLR: end should be larger than begin'),
    (OPTIMIZERS.build, dict(type='AdamW', params=WEIGHTS, betas=.9),
     "TypeError: AdamW: 'float' object is not subscriptable"),
])
def test_parts_of_a_config_that_cannot_be_built(build, cfg, message):
    assert re.match(message, line_of(build, cfg))


def test_options_that_cannot_be_merged():
    line = line_of(Config(dict(lr=1)).merge_from_dict, {'lr.x.y': 2})
    assert line.startswith("TypeError: lr={'x': {'y': 2}} in child config")


@pytest.mark.parametrize('text, message', [
    (None, 'FileNotFoundError: .*config.py'),
    ("_base_ = 'absent.py'", 'FileNotFoundError: .*absent.py'),
])
def test_configs_that_cannot_be_read(tmp_path, text, message):
    path = tmp_path / 'config.py'
    if text is not None:
        path.write_text(text)
    assert re.match(message, line_of(Config.fromfile, str(path)), re.S)


@pytest.mark.parametrize('bug, kind', [
    (lambda: {}['no'], KeyError),
    (lambda: int('no'), ValueError),
    (lambda: open('/no/such/file'), FileNotFoundError),
    (lambda: PackMultiTaskInputs()({}), KeyError),
    (lambda: fail(AssertionError), AssertionError),
    (lambda: fail(KeyboardInterrupt), KeyboardInterrupt),
])
def test_bugs_keep_their_traceback(bug, kind):
    with pytest.raises(kind), user_errors():
        bug()


class Broken(Dataset):

    def __init__(self, kind):
        self.kind = kind

    def __len__(self):
        return 1

    def __getitem__(self, index):
        fail(self.kind)


@pytest.mark.parametrize('num_workers', [0, 1])
@pytest.mark.parametrize('kind', [DatasetError, UserError, MissingFileError])
def test_errors_of_workers(kind, num_workers):
    loader = DataLoader(Broken(kind), num_workers=num_workers)
    line = line_of(lambda: next(iter(loader)))
    assert line == f'{kind.__name__}: a.png: broken\n  Mend it'


def test_bugs_of_workers_keep_their_traceback():
    loader = DataLoader(Broken(ValueError), num_workers=1)
    with pytest.raises(ValueError, match='in fail'), user_errors():
        next(iter(loader))


def test_weights_that_cannot_be_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    url = 'http://127.0.0.1:9/r50.pth'
    with checked_loader():
        line = line_of(CheckpointLoader.load_checkpoint, url)
        assert line.startswith(f'UserError: {url} ')
        # what it says does it: the copy is not asked for again
        path = line.split('copy it to ')[1].split(',')[0]
        torch.save(dict(x=1), path)
        assert CheckpointLoader.load_checkpoint(url) == dict(x=1)


class Killed(Broken):

    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker():
    loader = DataLoader(Killed(UserError), num_workers=1)
    line = line_of(lambda: next(iter(loader)))
    assert line.startswith('RuntimeError: DataLoader worker (pid')


def test_a_full_disk():

    def write():
        with open('/dev/full', 'w') as file:
            file.write('x')

    assert line_of(write) == 'OSError: [Errno 28] No space left on device'
