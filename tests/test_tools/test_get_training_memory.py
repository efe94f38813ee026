# Copyright (c) mmbombo contributors.
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmbombo.registry import MODELS
from mmbombo.testing import SIZE, load_script, tiny_model_cfg

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / 'tools' / 'analysis_tools'
MIB = 2**20


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return load_script(TOOLS / 'get_training_memory.py')


class Net(nn.Module):
    """Keeps the input, the convolution's output and the ReLU's."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)

    def _forward(self, x):
        return self.norm(self.conv(x)).relu()


def test_each_storage_is_counted_once(tool):
    net = Net()
    pixels = 16 * 32
    statistics = 2 * 8 * 4 // 2  # mean and deviation, half of them per image
    assert tool.activation_bytes(net, (16, 32)) == (
        (3 + 8 + 8) * pixels * 4 + statistics)
    net.requires_grad_(False)
    assert tool.activation_bytes(net, (16, 32)) == 0


def test_shapes_alone_give_what_a_real_step_keeps(tool):
    model = MODELS.build(tiny_model_cfg()).train()
    own = {x.untyped_storage()._cdata
           for x in (*model.parameters(), *model.buffers())}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        outputs = model._forward(torch.randn(2, 3, SIZE, SIZE))
    real = sum(storage.nbytes() for storage in kept.values()) / 2
    del outputs
    assert tool.activation_bytes(model, (SIZE, SIZE)) == pytest.approx(
        real, rel=.02)


def test_command_adds_up(tool, monkeypatch, capsys):
    config = ROOT / 'configs/bombo_voc.py'
    cfg = Config.fromfile(config)
    model = tool.build_model(cfg)
    weights = sum(p.numel() for p in model.parameters())
    # weights, gradients, momentum, moving average
    assert tool.parameter_bytes(model, cfg) == 16 * weights
    monkeypatch.setattr(tool, 'activation_bytes',
                        lambda model, shape: shape[0] * MIB)
    monkeypatch.setattr(sys, 'argv', ['tool', str(config)])
    tool.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[-2:] == [str(7 * 384), 'MiB']
    total = 16 * weights / MIB + 7 * 384 + 7 * 320
    assert lines[-1] == f'sum {total / 1024:.1f} GiB'


@pytest.mark.parametrize('name, side, sizes', [
    ('bombo', 320, (384, 320)),
    # both batches may have one size
    ('naive', 384, (384, 384)),
    # the only batch is resized, or never
    ('det', 320, (384, )),
    ('seg', 320, (320, )),
])
def test_every_image_of_a_step_is_counted(tool, name, side, sizes):
    cfg = Config.fromfile(
        ROOT / f'configs/bombo/{name}_r18_cem-fpn_anchor_voc.py')
    assert tool.images_of_step(cfg, (side, side)) == [
        ((size, size), 7) for size in sizes]
