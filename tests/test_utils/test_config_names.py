# Copyright (c) mmbombo contributors.
import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config
from mmengine.utils import get_installed_path

import mmbombo
from mmbombo.apis import MultiTaskInferencer
from mmbombo.registry import MODELS
from mmbombo.utils import UserError
from mmbombo.utils.config_names import (find_config, load_config,
                                        named_configs, published_weights)

ROOT = Path(__file__).resolve().parents[2]
NAME = 'bombo_mobilenetv2_fpn-gfl_photo-stamps'


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package as a wheel has it: configs in ``.mim``, no clone."""
    package = tmp_path / 'site-packages' / 'mmbombo'
    shutil.copytree(ROOT / 'configs', package / '.mim' / 'configs')
    shutil.copy(ROOT / 'model-index.yml', package / '.mim')
    monkeypatch.setattr(mmbombo, '__file__', str(package / '__init__.py'))
    return package


def test_every_config_has_a_name_of_its_own():
    stems = [
        path.stem for path in (ROOT / 'configs').rglob('*.py')
        if '_base_' not in path.parts
    ]
    assert Counter(stems) == Counter([*named_configs()])


def test_a_name_is_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = ROOT / f'configs/bombo/{NAME}.py'
    assert load_config(NAME).to_dict() == Config.fromfile(path).to_dict()
    assert find_config(str(path)) == str(path)
    # a file that exists wins
    Path(NAME).write_text('')
    assert find_config(NAME) == NAME


def test_names_of_an_installed_package(installed):
    expected = installed / '.mim/configs/bombo' / f'{NAME}.py'
    assert Path(find_config(NAME)) == expected


@pytest.mark.parametrize('config', [
    'bombo_mobilenetv2_fpn-gfl_photo-stmps',
    'configs/bombo_mobilenetv2_fpn-gfl_photostamps.py'
])
def test_the_nearest_names_are_listed(config):
    with pytest.raises(UserError, match=f"'{config}'.*near.*{NAME}"):
        load_config(config)
    with pytest.raises(UserError, match='this name$'):
        load_config('qqqq')


def test_weights_of_a_name(installed, monkeypatch):
    assert published_weights(NAME) is None
    metafile = installed / '.mim/configs/bombo/metafile.yml'
    content = yaml.safe_load(metafile.read_text())
    for model in content['Models']:
        model['Weights'] = f'https://example.org/{model["Name"]}.pth'
    metafile.write_text(yaml.safe_dump(content))
    asked = []
    monkeypatch.setattr(
        'mmbombo.utils.checkpoint.download',
        lambda url, name: asked.append(url) or str(installed / 'absent.pth'))
    with pytest.raises(UserError, match='absent.pth'):
        MultiTaskInferencer(NAME, device='cpu')
    assert asked == [f'https://example.org/{NAME}.pth']


def test_no_weights_of_a_name_is_a_warning():
    with pytest.warns(UserWarning, match='none are published'):
        inferencer = MultiTaskInferencer(NAME, device='cpu')
    assert inferencer.dataset_meta['classes'][0] == 'bird'


@pytest.fixture
def linked():
    """``.mim`` beside the package that is imported, as ``pip install -e``
    makes it, if it is not there."""
    mim = Path(get_installed_path('mmbombo')) / '.mim'
    if mim.exists():
        yield mim
        return
    mim.mkdir()
    for name in ('configs', 'model-index.yml'):
        (mim / name).symlink_to(ROOT / name)
    yield mim
    shutil.rmtree(mim)


@pytest.mark.parametrize('base', [
    f'bombo/{NAME}.py', 'bombo/naive_r50_fpn-gfl_voc.py',
    '_base_/models/mobilenetv2_fpn-gfl.py'
])
def test_configs_of_others_inherit_from_ours(linked, base, tmp_path):
    path = tmp_path / 'theirs.py'
    path.write_text(f"_base_ = 'mmbombo::{base}'\nmodel = dict(x=1)\n")
    theirs = Config.fromfile(path)
    assert theirs.model.pop('x') == 1
    theirs.model.backbone.init_cfg = None
    if '_base_' in base:
        theirs.model.classes = dict(
            det=[f'{i}' for i in range(20)], seg=[f'{i}' for i in range(21)])
    # MMEngine has written our scope into the parts
    model = MODELS.build(theirs.model)
    assert [type(head.head).__name__ for head in model.task_heads.values()
            ] == ['GFLHead', 'FPNHead']


def test_options_that_begin_with_a_misspelt_key():
    for option, key in (('train_dataloder.batch_size', 'train_dataloader'),
                        ('modle.neck', 'model'), ('work_dirs', 'work_dir')):
        with pytest.raises(
                UserError, match=f"{option}: .*; did you mean '{key}'"):
            load_config(NAME, {option: 2})
    with pytest.raises(UserError, match='--cfg-options: Index 9 exceeds'):
        load_config(NAME, {'train_dataloader.dataset.datasets.9.source': 'a'})
    cfg = load_config(NAME, {'my_own.key': 2, 'optim_wrapper.clip_grad.a': 3})
    assert cfg.my_own.key == 2 and cfg.optim_wrapper.clip_grad.a == 3


@pytest.mark.parametrize('bases', [['a.py'], ['b.py', 'c.py']])
def test_a_config_that_inherits_from_itself(tmp_path, bases):
    (tmp_path / 'a.py').write_text(f'_base_ = {bases}')
    (tmp_path / 'b.py').write_text('x = 1')
    (tmp_path / 'c.py').write_text("_base_ = './a.py'")
    with pytest.raises(UserError, match='a.py inherits from it'):
        load_config(str(tmp_path / 'a.py'))
