# Copyright (c) mmbombo contributors.
"""Weights of Wide ResNet-38 that others publish load."""
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from toolbox import load_script

from mmbombo.registry import MODELS
from mmbombo.utils import UserError

FOLDER = Path(__file__).parents[2] / 'tools/model_converters'
WIDTH = 1 / 8
#: Blocks of PSA's network and how MXNet's file calls them.
BLOCKS = dict(
    b2='2a',
    b2_1='2b1',
    b2_2='2b2',
    b3='3a',
    b3_1='3b1',
    b3_2='3b2',
    b4='4a',
    b4_1='4b1',
    b4_2='4b2',
    b4_3='4b3',
    b4_4='4b4',
    b4_5='4b5',
    b5='5a',
    b5_1='5b1',
    b5_2='5b2',
    b6='6a',
    b7='7a')
TENSORS = dict(
    weight='gamma',
    bias='beta',
    running_mean='moving_mean',
    running_var='moving_var')


@pytest.fixture
def converter(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return load_script(FOLDER / 'wide_resnet38.py')


def build(**kwargs):
    return MODELS.build(dict(type='WideResNet38', width=WIDTH, **kwargs))


def psa_weights():
    """Random weights under the names of PSA's ``resnet38_cls``."""
    torch.manual_seed(0)
    names = ['conv1a.weight', 'fc8.weight']
    names += [f'bn7.{x}' for x in TENSORS]
    for block in BLOCKS:
        branches = ['2a', '2b1'] + ['2b2'] * (block in ('b6', 'b7'))
        names += [
            f'{block}.{kind}_branch{branch}.{x}' for branch in branches
            for kind, keys in (('bn', TENSORS), ('conv', ['weight']))
            for x in keys
        ]
        if '_' not in block:
            names.append(f'{block}.conv_branch1.weight')
    shapes = {name: x.shape for name, x in build().state_dict().items()}
    shapes['fc8.weight'] = (20, 512, 1, 1)
    assert {x for x in shapes if 'num_batches' not in x} == {*names}
    return {name: torch.rand(shapes[name]) for name in names}


def mxnet_name(name):
    layer, _, tensor = name.rpartition('.')
    if layer in ('conv1a', 'fc8'):
        return f'arg:{layer}_weight'.replace('fc8', 'linear1000')
    block, _, layer = layer.rpartition('.')
    kind, _, branch = layer.partition('_')
    if kind == 'conv':
        return f'arg:res{BLOCKS[block]}_{branch}_weight'
    group = 'aux' if 'running' in tensor else 'arg'
    place = f'bn{BLOCKS[block]}_{branch}' if block else 'bn7'
    return f'{group}:{place}_{TENSORS[tensor]}'


def write_params(path, weights, version):
    """As MXNet's ``NDArray::Save`` of three versions does."""
    content = [struct.pack('<3Q', 0x112, 0, len(weights))]
    for x in weights.values():
        content.append({
            0: struct.pack('<I', x.ndim),
            1: struct.pack('<2I', 0xF993FAC8, x.ndim),
            2: struct.pack('<IiI', 0xF993FAC9, 0, x.ndim)
        }[version])
        content.append(
            np.array(x.shape, '<i8' if version else '<u4').tobytes())
        content += [struct.pack('<3i', 1, 0, 0), x.numpy().tobytes()]
    content.append(struct.pack('<Q', len(weights)))
    for name in weights:
        content += [struct.pack('<Q', len(name)), name.encode()]
    path.write_bytes(b''.join(content))


def check(backbone, weights):
    loaded = backbone.state_dict()
    for name in weights:
        if name != 'fc8.weight':
            assert torch.equal(loaded[name], weights[name]), name


def test_checkpoints_of_psa_load_as_they_are(tmp_path):
    weights = psa_weights()
    torch.save(weights, tmp_path / 'res38_cls.pth')
    pretrained = dict(
        type='Pretrained', checkpoint=str(tmp_path / 'res38_cls.pth'))
    backbone = build(init_cfg=pretrained)
    backbone.init_weights()
    check(backbone, weights)
    # and their classifier in our head, as RRM's config says
    head = MODELS.build(
        dict(
            type='ClsTaskHead',
            num_classes=20,
            in_channels=512,
            in_index=0,
            bias=False,
            init_cfg=dict(
                type='Normal',
                layer='Conv2d',
                override=dict(name='classifier', prefix='fc8.',
                              **pretrained))))
    head.init_weights()
    assert torch.equal(head.classifier.weight, weights['fc8.weight'])


@pytest.mark.parametrize('version', [0, 1, 2])
def test_file_of_mxnet(converter, tmp_path, version):
    weights = psa_weights()
    path = tmp_path / 'a1.params'
    write_params(path, {mxnet_name(k): v for k, v in weights.items()}, version)
    backbone = build()
    state_dict = converter.convert(converter.read_params(path), backbone)
    check(backbone, weights)
    assert {*state_dict} == {*build().state_dict()}


def test_names_of_mxnet(converter):
    for name, ours in {
            'arg:conv1a_weight': 'conv1a.weight',
            'arg:res2a_branch1_weight': 'b2.conv_branch1.weight',
            'arg:res4b5_branch2b1_weight': 'b4_5.conv_branch2b1.weight',
            'arg:bn7a_branch2b2_gamma': 'b7.bn_branch2b2.weight',
            'aux:bn3b1_branch2a_moving_var': 'b3_1.bn_branch2a.running_var',
            'aux:bn7_moving_mean': 'bn7.running_mean',
            'arg:linear1000_weight': ''
    }.items():
        assert converter.rename(name) == ours


def test_other_files_are_refused(converter, tmp_path):
    path = tmp_path / 'x.params'
    weights = {'arg:conv1a_weight': torch.rand(8, 3, 3, 3)}
    write_params(path, weights, 2)
    with pytest.raises(UserError, match='not the weights'):
        converter.convert(converter.read_params(path), build())
    for content in (b'PK' + bytes(98), path.read_bytes()[:200]):
        path.write_bytes(content)
        with pytest.raises(UserError, match='x.params is no'):
            converter.read_params(path)
