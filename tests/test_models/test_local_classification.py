# Copyright (c) mmbombo contributors.
"""InfoPro's nets for classification, and its published cuts and weights."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from toolbox import make_sample
from torch import nn
from torch.nn import functional as F

from mmbombo.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
SUP_CON = dict(type='SupConLoss')
#: Settings, K and the weights of reconstruction and task, from the published
#: commands: first local module, last local module.
PUBLISHED = '''
r32_cifar10            2: 5 1            4: 6 0 1 2      8: 5 0 0 2
                       16: 5 .05 .2 .5
r110_cifar10           2: 5 .5           4: 1 0 0 1      8: 5 0 0 1
                       16: 5 0 .5 1      2*: 5 .1        3*: 5 0 5 .1
                       4*: 5 0 5 .1
r110_stl10             2: 10 1           4: 20 .2 5 2    8: 20 .2 5 1
                       16: 20 .5 10 .1   2*: 20 1        3*: 20 .5 5 2
                       4*: 20 .5 10 1
r110_svhn              2: 1 .1           4: 5 0 .5 1     8: 5 0 .5 2
                       16: 5 .2 .5 1
'''


def rows():
    found = []
    for word in PUBLISHED.split():
        if word.startswith('r'):
            name = word
        elif word.endswith(':'):
            found.append((name, word[:-1], []))
        else:
            found[-1][2].append(float(word))
    return found


@pytest.mark.parametrize('name, k, numbers', rows())
def test_published_weights(name, k, numbers, monkeypatch):
    monkeypatch.setenv('INFOPRO_K', k)
    cfg = Config.fromfile(CONFIGS / f'infopro/infopro_{name}.py')
    backbone = cfg.model.backbone
    first, last = numbers[:2], numbers[-2:]
    assert tuple(backbone.rec_weight) == (first[0], last[0])
    assert tuple(backbone.task_weight) == (first[1], last[1])
    assert len(backbone.cuts) == int(k.strip('*')) - 1


@pytest.mark.parametrize('name, k', [('r32_cifar10', '16'),
                                     ('r110_cifar10', '8'),
                                     ('r110_stl10', '3*')])
def test_cut_network(name, k, monkeypatch):
    """The cuts are blocks, in their order, and weights are interpolated."""
    monkeypatch.setenv('INFOPRO_K', k)
    cfg = Config.fromfile(CONFIGS / f'infopro/infopro_{name}.py')
    net = MODELS.build(cfg.model.backbone)
    blocks = [x for x, _ in net.named_modules()]
    places = [blocks.index(cut) for cut in cfg.model.backbone.cuts]
    assert places == sorted(places)
    weights = [(x.rec_weight, x.task_weight) for x in net.local_modules]
    assert len(weights) == int(k.strip('*')) - 1
    first, last = weights[0], weights[-1]
    r = 1 / (len(weights) - 1)
    assert weights[1] == pytest.approx(
        [a * (1 - r) + b * r for a, b in zip(first, last)])


def sample(*labels):
    found = make_sample(('image_label', ) * bool(labels))
    if labels:
        found.gt_image_label.label = torch.tensor(labels).to(torch.int8)
    return found


@pytest.mark.parametrize('contrast', [None, SUP_CON])
@pytest.mark.parametrize('channels, wide, stride', [(16, 32, 2), (32, 64, 2),
                                                    (64, 64, 1)])
def test_1c2f(channels, wide, stride, contrast):
    head = MODELS.build(
        dict(
            type='LocalClassHead',
            in_channels=channels,
            num_classes=10,
            contrast=contrast))
    conv, = (x for x in head.modules() if isinstance(x, nn.Conv2d))
    assert (conv.in_channels, conv.out_channels, conv.stride[0],
            conv.kernel_size) == (channels, wide, stride, (3, 3))
    widths = [(x.in_features, x.out_features) for x in head.modules()
              if isinstance(x, nn.Linear)]
    assert widths == [(wide, 128), (128, 128 if contrast else 10)]


def test_losses_of_known_images():
    torch.manual_seed(0)
    feat = torch.randn(4, 16, 8, 8)
    samples = [sample(0, 1, 0), sample(1, 1, 0), sample(0, 1, 0), sample()]
    head = MODELS.build(
        dict(
            type='LocalClassHead',
            in_channels=16,
            num_classes=3,
            convs=[],
            hidden=[]))
    logits = head.linear(feat.mean((2, 3)))
    torch.testing.assert_close(
        head.loss(feat, samples, (8, 8)),
        F.cross_entropy(logits[[0, 2]], torch.tensor([1, 1])))
    head = MODELS.build(
        dict(
            type='LocalClassHead',
            in_channels=16,
            num_classes=3,
            convs=[],
            hidden=[],
            contrast=SUP_CON))
    features = head.linear(feat.mean((2, 3)))[[0, 2]]
    torch.testing.assert_close(
        head.loss(feat, samples, (8, 8)),
        MODELS.build(SUP_CON)(features, torch.tensor([1, 1])))


@pytest.mark.parametrize('contrast', [None, SUP_CON])
def test_nothing_known_is_a_zero_with_gradient(contrast):
    head = MODELS.build(
        dict(
            type='LocalClassHead',
            in_channels=16,
            num_classes=3,
            contrast=contrast))
    feat = torch.randn(2, 16, 8, 8, requires_grad=True)
    loss = head.loss(feat, [], (8, 8))
    loss.backward()
    assert loss == 0
    assert all((p.grad == 0).all() for p in head.parameters())


def test_decoder_of_small_images():
    decoder = MODELS.build(dict(type='SmallImageDecoder', in_channels=32))
    assert decoder(torch.randn(2, 32, 8, 8), (32, 32)).shape == (2, 3, 32, 32)
    convs = [
        x.weight.shape for x in decoder.modules() if isinstance(x, nn.Conv2d)
    ]
    assert convs == [(12, 32, 3, 3), (3, 12, 3, 3)]


@pytest.mark.parametrize('name, cut, task', [('r101', 'layer2.0', .75),
                                             ('r152', 'layer2.5', 1.),
                                             ('x101-32x8d', 'layer2.2', .75)])
def test_imagenet(name, cut, task):
    cfg = Config.fromfile(CONFIGS / f'infopro/infopro_{name}_imagenet.py')
    backbone = cfg.model.backbone
    assert backbone.cuts == [cut]
    assert (backbone.rec_weight, backbone.task_weight) == (5, task)
    head = MODELS.build(dict(backbone.head, in_channels=512))
    shapes = [(x.out_channels, x.kernel_size[0], x.stride[0])
              for x in head.modules() if isinstance(x, nn.Conv2d)]
    assert shapes == [(128, 1, 1), (256, 3, 2), (512, 3, 2), (2048, 1, 1)]
