# Copyright (c) mmbombo contributors.
"""Sizes of BoMBo's networks, as measured on the reference code (A.2)."""
import sys
from pathlib import Path

import pytest
import torch
from mmcv.cnn import ConvModule
from mmengine.config import Config
from torch import nn

from mmbombo.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'analysis_tools' / 'get_flops.py'
CONFIGS = ROOT / 'configs'
#: Million parameters without the contrastive projections, which never learn,
#: and billion multiply-adds without the 0.7 that are spent on them.
REFERENCE = dict(
    r18=dict(
        parameters=30.98 - 2.37, total=69.7 - .7, backbone=14.1, neck=2.8,
        det=2.5 + 2.6, seg=47.0),
    r50=dict(
        parameters=48.42 - 2.37, total=90.3 - .7, backbone=32.6, neck=4.8,
        det=2.5 + 2.6, seg=47.0))
NAMES = dict(r18='r18_cem-fpn_anchor', r50='r50_cem-pafpn_anchor')


@pytest.fixture(scope='module')
def get_flops():
    sys.path.insert(0, str(TOOL.parent))
    import get_flops
    sys.path.pop(0)
    return get_flops


def canceled_biases(model):
    """Biases that the reference has before a normalization, and we have not.

    Backbones have none in either.
    """
    blocks = [
        block for part in (model.neck, model.task_heads)
        for block in part.modules() if isinstance(block, ConvModule)
    ]
    assert all(block.conv.bias is None for block in blocks)
    return sum(block.conv.out_channels for block in blocks)


@pytest.mark.parametrize('name', REFERENCE)
def test_sizes_of_the_reference_networks(get_flops, name):
    cfg = Config.fromfile(CONFIGS / f'bombo/naive_{NAMES[name]}_voc.py')
    model = MODELS.build(cfg.model)
    assert all(p.requires_grad for p in model.parameters())  # nothing is dead
    parts = {
        part.name.replace('task_heads.', ''): part
        for part in get_flops.complexity(model, (320, 320))
    }
    wanted = dict(REFERENCE[name])
    parameters = sum(part.parameters for part in parts.values())
    # each of two numbers is rounded to 0.01
    assert (parameters + canceled_biases(model)) / 1e6 == pytest.approx(
        wanted.pop('parameters'), abs=.0101)
    found = {key: part.multiply_adds / 1e9 for key, part in parts.items()}
    found['total'] = sum(found.values())
    assert found == pytest.approx(wanted, abs=.101)


def head_sizes(get_flops, config, options):
    """Parameters and multiply-adds of both heads, at 320 pixels."""
    cfg = Config.fromfile(CONFIGS / f'_base_/models/{config}.py')
    cfg.merge_from_dict(options)
    feats = tuple(
        torch.empty(1, 256, side, side, device='meta')
        for side in (40, 20, 10, 5))
    sizes = []
    for head in cfg.model.task_heads.values():
        module = MODELS.build(head).eval().to('meta')
        sizes.append(get_flops.count('head', module, feats)[1])
    return (sum(size.parameters for size in sizes) / 1e6,
            sum(size.multiply_adds for size in sizes) / 1e9)


def test_coco_adds_classes_only(get_flops):
    voc = head_sizes(get_flops, 'r18_cem-fpn_anchor', {})
    coco = head_sizes(
        get_flops, 'r18_cem-fpn_anchor', {
            'model.task_heads.det.head.num_classes': 80,
            'model.task_heads.seg.head.num_classes': 81
        })
    assert coco[0] - voc[0] == pytest.approx(31.35 - 30.98, abs=.0101)
    assert coco[1] - voc[1] == pytest.approx(70.7 - 69.7, abs=.101)


def test_light_head_removes_most_of_its_multiply_adds(get_flops):
    full = head_sizes(get_flops, 'r18_cem-fpn_anchor', {})
    light = head_sizes(get_flops, 'r18_cem-fpn_anchor-light', {})
    assert light[0] == full[0]
    # three 3x3 blocks and the classifier, at 320 * 320 against 80 * 80
    per_pixel = 3 * 128 * 128 * 9 + 128 * 21
    assert full[1] - light[1] == pytest.approx(
        per_pixel * (320**2 - 80**2) / 1e9)


def test_convolutions_and_matrix_products_are_counted(get_flops):
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, groups=1), nn.BatchNorm2d(8),
        nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 10, bias=False))
    x = torch.empty(1, 3, 8, 8, device='meta')
    outputs, part = get_flops.count('net', net.eval().to('meta'), x)
    assert outputs.shape == (1, 10)
    assert part.parameters == 8 * 27 + 8 + 16 + 1280
    assert part.multiply_adds == 16 * 8 * 27 + 1280


class Attention(nn.Module):

    def forward(self, x):
        return (x @ x.transpose(1, 2)).softmax(dim=2) @ x


def test_attention_is_counted(get_flops):
    tokens = torch.empty(1, 7, 5, device='meta')
    _, part = get_flops.count('attention', Attention(), tokens)
    assert part == ('attention', 0, 2 * 7 * 7 * 5)


def test_command_prints_the_split(get_flops, monkeypatch, capsys):
    config = 'naive_swin-t_cem-fpn_anchor_voc'
    monkeypatch.setattr(sys, 'argv', [
        'get_flops.py', config, '--shape', '128', '192', '--cfg-options',
        'model.task_heads.seg.head.refine_stride=4'
    ])
    get_flops.main()
    printed = capsys.readouterr().out
    assert 'one image of 128 x 192' in printed
    lines = printed.splitlines()[-6:]
    assert [line.split()[0] for line in lines] == [
        'part', 'backbone', 'neck', 'task_heads.det', 'task_heads.seg', 'sum'
    ]
    *rows, total = [line.split() for line in lines[1:]]
    assert total[5] == '100.0%'
    assert sum(float(row[5][:-1]) for row in rows) == pytest.approx(
        100, abs=.3)
    assert sum(float(row[1]) for row in rows) == pytest.approx(
        float(total[1]), abs=.03)
