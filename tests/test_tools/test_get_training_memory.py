# Copyright (c) mmbombo contributors.
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmbombo.registry import MODELS
from mmbombo.testing import SIZE, tiny_model_cfg

TOOLS = Path(__file__).resolve().parents[2] / 'tools' / 'analysis_tools'
MIB = 2**20


@pytest.fixture(scope='module')
def tool():
    sys.path.insert(0, str(TOOLS))
    import get_training_memory
    sys.path.pop(0)
    return get_training_memory


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
    net.conv.requires_grad_(False)
    net.norm.requires_grad_(False)
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
    config = TOOLS.parents[1] / 'configs/bombo_voc.py'
    cfg = Config.fromfile(config)
    model = tool.build_model(cfg)
    weights = sum(p.numel() for p in model.parameters())
    # weights, gradients, momentum, moving average
    assert tool.parameter_bytes(model, cfg) == 16 * weights
    assert tool.images_of_step(cfg, (320, 320)) == [((384, 384), 7),
                                                    ((320, 320), 7)]
    monkeypatch.setattr(tool, 'activation_bytes', lambda model, shape:
                        shape[0] * MIB)
    monkeypatch.setattr(sys, 'argv', ['tool', str(config)])
    tool.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[-2:] == [str(7 * 384), 'MiB']
    total = 16 * weights / MIB + 7 * 384 + 7 * 320
    assert lines[-1] == f'sum {total / 1024:.1f} GiB'


def test_every_image_of_a_step_is_counted(tool):
    folder = TOOLS.parents[1] / 'configs/bombo'
    largest = 384, 384

    def groups(name, shape):
        cfg = Config.fromfile(folder / f'{name}_r18_cem-fpn_anchor_voc.py')
        return tool.images_of_step(cfg, shape)

    # both batches may have one size
    assert groups('naive', largest) == [(largest, 7), (largest, 7)]
    # the only batch is resized, or never
    assert groups('det', (320, 320)) == [(largest, 7)]
    assert groups('seg', (320, 320)) == [((320, 320), 7)]
