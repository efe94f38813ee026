# Copyright (c) mmbombo contributors.
"""What a config in a checkpoint may name, and what it may not."""
import glob
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmbombo.registry import MODELS
from mmbombo.utils import UserError
from mmbombo.utils.stored_config import (drop_programs, plain_config,
                                         registered_types_only, stored_config)

REPO = Path(__file__).resolve().parents[2]
CONFIGS = [
    path for path in glob.glob(f'{REPO}/configs/**/*.py', recursive=True)
    if '_base_' not in path
]


def checkpoint_of(text):
    return dict(meta=dict(cfg=text))


@pytest.fixture
def evilmod(tmp_path, monkeypatch):
    """Modules in the current folder that must not be imported."""
    code = f"open({str(tmp_path / 'touched')!r}, 'w')\nclass Net: pass\n"
    (tmp_path / 'evilmod.py').write_text(code)
    (tmp_path / 'LoggerHook.py').write_text(code)
    (tmp_path / 'evilpack').mkdir()
    (tmp_path / 'evilpack/registry.py').write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / 'touched'
    assert not (tmp_path / 'touched').exists()
    assert not {'evilmod', 'LoggerHook', 'evilpack'} & set(sys.modules)


def test_registered_names_are_accepted():
    cfg = stored_config(
        checkpoint_of("""
default_scope = 'mmbombo'
model = dict(type='MultiTaskDetector', parts=[
    dict(type='ResNet', _scope_='mmdet'), dict(type='mmseg.FCNHead'),
    dict(type='mmbombo.SegTaskHead', head=dict(type='FPNHead')),
    dict(type='mmengine.Adam'), dict(nms=dict(type='nms'))],
    pipeline=(dict(type='LoadImageFromFile'),
              dict(type='mmdet.RandomResize')))
"""), 'x.pth')
    assert cfg.model.parts[1].type == 'mmseg.FCNHead'
    assert isinstance(cfg.model.pipeline, tuple)


def test_our_own_configs_are_accepted():
    """With all the types that they use."""
    assert CONFIGS
    named = {}
    for path in CONFIGS:
        cfg = Config.fromfile(path)
        text = ''.join(f'{key} = {x!r}\n' for key, x in cfg.to_dict().items())
        named.update({repr(part): part for part in parts_of(cfg.to_dict())})
        assert plain_config(text) == cfg.to_dict()
    text = f'model = dict(x={list(named.values())!r})'
    stored_config(checkpoint_of(text), 'x.pth')


def parts_of(value):
    """The dicts of a config that name a type, without their other parts."""
    if isinstance(value, dict):
        if 'type' in value:
            yield {
                key: value[key]
                for key in ('type', '_scope_') if key in value
            }
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from parts_of(item)


def test_names_of_before_are_accepted():
    """As MMEngine writes them."""
    cfg = Config(
        dict(
            model=dict(),
            train_dataloader=dict(
                dataset=dict(
                    type='MultiSourceDataset',
                    datasets=[dict(type='mmbombo.JoinedSource')]))))
    stored = stored_config(checkpoint_of(cfg.pretty_text), 'x.pth')
    assert stored.to_dict() == cfg.to_dict()


def test_a_name_of_another_registry_is_not_imported(evilmod):
    """It is registered, but not where it is looked up."""
    cfg = stored_config(
        checkpoint_of("model = dict(type='LoggerHook')"), 'x.pth')
    with registered_types_only(), pytest.raises(KeyError, match='LoggerHook'):
        MODELS.build(cfg.model)


def test_a_config_file_is_not_run(evilmod):
    cfg = stored_config(
        checkpoint_of("""
model = dict(type='mmdet.KnowledgeDistillationSingleStageDetector',
             _scope_='mmdet', backbone=dict(type='ResNet', depth=18),
             neck=dict(type='FPN', in_channels=[1], out_channels=1,
                       num_outs=1),
             bbox_head=dict(type='RetinaHead', num_classes=1, in_channels=1),
             teacher_config='evilmod.py')
"""), 'x.pth')
    with registered_types_only(), pytest.raises(UserError, match='evilmod.py'):
        MODELS.build(cfg.model)


@pytest.mark.parametrize('checkpoint',
                         [{},
                          dict(meta={}),
                          dict(message_hub=dict(runtime_info={})),
                          dict(meta=None),
                          dict(meta=dict(cfg='import os')),
                          dict(meta=dict(cfg=3))])
def test_no_config(checkpoint):
    with pytest.raises(UserError, match="'x.pth' has no config"):
        stored_config(checkpoint, 'x.pth')


def test_the_message_hub_has_the_first_word():
    checkpoint = dict(
        meta=dict(cfg='model = dict(a=1)'),
        message_hub=dict(runtime_info=dict(cfg='model = dict(a=2)')))
    assert stored_config(checkpoint, 'x.pth').model.a == 2


@pytest.mark.parametrize(
    'text, value',
    [
        ("a = dict(b=[1, -2.5, None, (True, 'x')], c={'d-e': {1, 2}})\n",
         dict(a=dict(b=[1, -2.5, None, (True, 'x')], c={'d-e': {1, 2}}))),
        ("a = 1\ncustom_imports = dict(imports=['evil'])\n", dict(a=1)),
        ("a = dict(_delete_=True, b=1)\n", dict(a=dict(_delete_=True, b=1))),
        ("f = open('x')\n", None),
        ('import os\n', None),
        ("_base_ = ['/tmp/evil.py']\n", None),
        ('a, b = 1, 2\n', None),
        ("[_base_] = ['/tmp/evil.py']\n", None),
        ('x = y = 1\n', None),
        ('x: int = 1\n', None),
        ('x = 1\nx += 1\n', None),
        ('x = 1\ndel x\n', None),
        ('a = [x for x in (1, 2)]\n', None),
        ('a = dict.__subclasses__()\n', None),
        ('a = dict([(1, 2)])\n', None),
        ("a = dict(**{'b': 1})\n", None),
        ("a = {**{'b': 1}}\n", None),
        ("a = f'{1}'\n", None),
        ('a = [*(1, 2)]\n', None),
        ('a = ' + '(' * 300 + ')' * 300, None),
        # MMEngine turns this into [{'k': {'k': 'v, '}}, open('x')]
        ("""a = [{'k': {'k': '{{$X:v'}}, '}},open("x")]#']\n""", None),
    ])
def test_what_plain_data_is(text, value):
    assert plain_config(text) == value


def test_pickled_class_weights_are_not_read(tmp_path, evilmod):
    """MMSegmentation's losses load what `class_weight` names."""
    code = f"open({str(evilmod)!r}, 'w')"
    (tmp_path / 'w.pkl').write_bytes(b'cbuiltins\nexec\n(V' + code.encode() +
                                     b'\ntR.')
    head = dict(
        type='SegTaskHead',
        head=dict(
            type='FPNHead',
            in_channels=[8],
            in_index=[0],
            feature_strides=[4],
            channels=8,
            num_classes=2,
            loss_decode=dict(
                type='CrossEntropyLoss',
                class_weight=str(tmp_path / 'w.pkl'))))
    with registered_types_only(), pytest.raises(UserError, match='a pickle'):
        MODELS.build(head)


@pytest.mark.parametrize('imports, kept', [("['evilmod']", False),
                                           ("'evilmod'", False),
                                           ("['torch']", True)])
def test_texts_that_import_others_are_dropped(imports, kept):
    checkpoint = checkpoint_of(
        f'a = 1\ncustom_imports = dict(imports={imports})')
    drop_programs(checkpoint, 'x.pth')
    assert ('cfg' in checkpoint['meta']) == kept
