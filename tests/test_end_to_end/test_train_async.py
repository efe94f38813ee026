# Copyright (c) mmbombo contributors.
"""Two processes, each with a module, train as one process does."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from toolbox import CLASSES, load_script, write_voc

from mmbombo.engine.runner import QuietRunner
from mmbombo.utils import UserError

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools/train_async.py'
ITERS = 4


@pytest.fixture
def cfg(tmp_path):
    """A small network on crops, with two modules."""
    cfg = Config.fromfile(
        ROOT / 'configs/infopro/infopro_r32_photo-stamps-crops.py')
    root = write_voc(tmp_path / 'voc')
    (root / 'ImageSets/Main/val.txt').write_text('000')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.datasets[0].update(
            data_root=str(root), metainfo=dict(cls_classes=CLASSES))
    cfg.train_dataloader.batch_size = 8
    cfg.train_dataloader.sampler.batch_size = 8
    cfg.model.classes.cls = CLASSES
    cfg.model.task_heads.cls.num_classes = len(CLASSES)
    cfg.model.backbone.head.num_classes = len(CLASSES)
    cfg.model.backbone.backbone.depth = 20
    cfg.param_scheduler = []
    cfg.train_cfg.update(max_iters=ITERS, val_interval=ITERS)
    cfg.default_hooks.checkpoint.update(interval=ITERS, save_best=None)
    cfg.default_hooks.logger.interval = 1
    cfg.work_dir = str(tmp_path / 'sequential')
    return cfg


def test_weights_are_those_of_one_process(cfg, tmp_path):
    cfg.dump(tmp_path / 'config.py')
    # one thread, as here: another number of threads rounds otherwise
    subprocess.run([
        sys.executable, TOOL, tmp_path / 'config.py', '--work-dir',
        tmp_path / 'async'
    ], check=True, env=dict(os.environ, OMP_NUM_THREADS='1'))
    QuietRunner.from_cfg(cfg).train()
    one, two = (
        torch.load(path, weights_only=False)['state_dict']
        for path in (tmp_path / f'sequential/iter_{ITERS}.pth',
                     tmp_path / 'async/async.pth'))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name
    logs = {}
    for part in ('lower', 'upper'):
        path, = (tmp_path / 'async' / part).glob('*/vis_data/scalars.json')
        logs[part] = [json.loads(x) for x in path.read_text().splitlines()]
    assert all('infopro/rec_0' in x for x in logs['lower'])
    assert all('cls/loss_cls' in x for x in logs['upper'])


def test_iterations_are_needed(cfg, tmp_path, monkeypatch):
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1)
    cfg.dump(tmp_path / 'config.py')
    monkeypatch.setattr('sys.argv', [
        'train_async.py',
        str(tmp_path / 'config.py'), '--work-dir',
        str(tmp_path / 'async')
    ])
    with pytest.raises(SystemExit, match='train_cfg has no max_iters'):
        load_script(TOOL).main()


@pytest.mark.parametrize('cuts', [2, [], ['layer1.0', 'layer2.0']])
def test_two_modules_are_needed(cuts):
    tool = load_script(TOOL)
    with pytest.raises(UserError, match='two processes train two modules'):
        tool.only_cut(Config(dict(model=dict(backbone=dict(cuts=cuts)))))
