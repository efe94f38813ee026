# Copyright (c) mmbombo contributors.
"""Which exceptions are told in one line, and which keep their traceback."""
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from torch.utils.data import DataLoader, Dataset

from mmbombo.datasets import DatasetError
from mmbombo.datasets.transforms import PackMultiTaskInputs
from mmbombo.registry import MODELS
from mmbombo.structures import ClassMap
from mmbombo.utils import user_errors
from mmbombo.utils.checkpoint import checked_loader


def line_of(function, *args, cfg=None, **kwargs):
    with pytest.raises(SystemExit) as ended:
        with user_errors(cfg):
            function(*args, **kwargs)
    return ended.value.code


def test_checks_say_where_they_stand():
    line = line_of(ClassMap, ('cat', ), ('background', 'cat'), 'sky')
    assert line.startswith("ValueError: background 'sky' is not one of the ")
    assert '\n' not in line
    assert '[mmbombo/structures/class_map.py:' in line


@pytest.mark.parametrize('cfg, message', [
    (dict(type='BoxForMaskLoss', stride=0), 'ValueError: stride of'),
    (dict(type='BoxForMaskLos'), 'KeyError: BoxForMaskLos is not in'),
    (dict(type='BoxForMaskLoss', strid=2),
     "TypeError: .*unexpected keyword argument 'strid'"),
    (dict(
        type='DetTaskHead',
        head=dict(type='YOLOV3Head', num_classes=2, in_channels=[8, 8, 8])),
     'TypeError: DetTaskHead cannot use YOLOV3Head'),
])
def test_parts_of_a_config_that_cannot_be_built(cfg, message):
    assert re.match(message, line_of(MODELS.build, cfg))


def raise_again(function, module='mmengine.registry.build_functions'):
    """As some versions of MMEngine's registry do, and its Runner."""
    namespace = dict(__name__=module)
    exec(
        'def build(function):\n'
        '    try:\n'
        '        return function()\n'
        '    except Exception as error:\n'
        '        raise type(error)(f"class `X` in x.py: {error}") from None\n',
        namespace)
    return namespace['build'](function)


def test_what_a_registry_raises_again():
    def build():
        return raise_again(lambda: ClassMap('cat', ()))

    line = line_of(raise_again, build)
    assert line.startswith('ValueError: det_classes must be a sequence of ')
    line = line_of(
        raise_again, lambda: ClassMap('cat', ()), 'mmengine.runner.runner')
    assert line.startswith('ValueError: det_classes must be a sequence of ')
    with pytest.raises(ZeroDivisionError), user_errors():
        raise_again(lambda: 1 / 0)


@pytest.mark.parametrize('bug, kind', [
    (lambda: {}['no'], KeyError),
    (lambda: int('no'), ValueError),
    # in our code, but no check of it
    (lambda: PackMultiTaskInputs()({}), KeyError),
    (lambda: ClassMap(3, ()), TypeError),
])
def test_bugs_keep_their_traceback(bug, kind):
    with pytest.raises(kind), user_errors():
        bug()


def test_assertions_are_bugs():
    namespace = dict(__name__='mmbombo.somewhere')
    exec('def check(): assert False', namespace)
    with pytest.raises(AssertionError), user_errors():
        namespace['check']()


class Broken(Dataset):

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise DatasetError('a.png: broken\n  Mend it')


@pytest.mark.parametrize('num_workers', [0, 1])
def test_errors_of_workers(num_workers):
    loader = DataLoader(Broken(), num_workers=num_workers)
    line = line_of(lambda: next(iter(loader)))
    assert line == 'DatasetError: a.png: broken\n  Mend it'


def test_missing_config(tmp_path):
    line = line_of(Config.fromfile, str(tmp_path / 'absent.py'))
    assert line.startswith('FileNotFoundError: ') and 'absent.py' in line


def test_weights_that_cannot_be_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    url = 'http://127.0.0.1:9/r50.pth'
    cfg = Config(
        dict(
            model=dict(
                backbone=dict(
                    init_cfg=dict(type='Pretrained', checkpoint=url))),
            custom_hooks=[dict(type='A'), dict(weights=url)]))
    with checked_loader():
        line = line_of(CheckpointLoader.load_checkpoint, url, cfg=cfg)
        assert url in line and str(tmp_path) in line
        assert line.endswith(
            ': --cfg-options model.backbone.init_cfg.checkpoint=FILE '
            'custom_hooks.1.weights=FILE')
        # what it says does it: the copy is not asked for again
        path = line.split('copy it to ')[1].split(',')[0]
        torch.save(dict(x=1), path)
        assert CheckpointLoader.load_checkpoint(url) == dict(x=1)
