# Copyright (c) mmbombo contributors.
"""From the archives' layout to a trained network, by the README's commands."""
import math
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from toolbox import write_coco

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import voc_devkit  # noqa: E402

REPO = Path(__file__).resolve().parents[2]
SIDE = 64


def small(config):
    """Options for pictures of 64 pixels and 2 + 2 of them in a step."""
    cfg = Config.fromfile(REPO / config)
    options = {
        'model.backbone.init_cfg': 'None',
        'model.batch_resize.sizes': f'({SIDE},128)',
        'train_dataloader.batch_size': 4,
        'train_dataloader.sampler.batch_size': 4,
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        'val_dataloader.num_workers': 0,
        'val_dataloader.persistent_workers': False,
        'default_hooks.logger.interval': 1,
        # scaled with the number of iterations
        'train_cfg.val_interval': cfg.train_cfg.max_iters
    }
    pipelines = {
        f'train_dataloader.dataset.datasets.{i}.pipeline': source.pipeline
        for i, source in enumerate(cfg.train_dataloader.dataset.datasets)
    }
    pipelines['val_dataloader.dataset.pipeline'] = \
        cfg.val_dataloader.dataset.pipeline
    for key, steps in pipelines.items():
        number, = (i for i, step in enumerate(steps)
                   if step.type == 'mmdet.Resize')
        options[f'{key}.{number}.scale'] = f'({SIDE},{SIDE})'
    return ['--cfg-options'] + [f'{k}={v}' for k, v in options.items()]


@pytest.fixture(scope='module')
def voc(commands, tmp_path_factory):
    folder = tmp_path_factory.mktemp('voc')
    root = voc_devkit.write_devkit(folder / 'VOCdevkit')
    sbd = voc_devkit.write_sbd(folder / 'sbd')
    for command in (['sbd_masks.py', sbd, root / 'VOC2012'],
                    ['voc_lists.py', root]):
        done = commands.run(f'tools/dataset_converters/{command[0]}',
                            *command[1:])
        assert done.returncode == 0, done.output
    return dict(VOC_ROOT=f'{root}/')


@pytest.fixture(scope='module')
def coco(commands, tmp_path_factory):
    root = write_coco(tmp_path_factory.mktemp('coco') / 'coco')
    annotations = root / 'annotations'
    train = annotations / 'instances_train2017.json'
    for command in (
        ['coco_lists.py', train, '--det', 4, '--seg', 4],
        ['coco_semantic.py', train, root / 'semantic/train2017'],
        ['coco_semantic.py', annotations / 'instances_val2017.json',
         root / 'semantic/val2017']):
        done = commands.run(f'tools/dataset_converters/{command[0]}',
                            *command[1:])
        assert done.returncode == 0, done.output
    return dict(COCO_ROOT=f'{root}/')


@pytest.mark.parametrize('data', ['voc', 'coco'])
def test_training_evaluation_and_resuming(data, request, commands, logs,
                                          tmp_path, monkeypatch):
    environment = request.getfixturevalue(data)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config = f'configs/bombo_{data}.py'
    work_dir = tmp_path / 'work'
    for iters, first in ((3, 1), (4, 4)):
        done = commands.run(
            'tools/train.py', REPO / config, '--work-dir', work_dir,
            '--iters', iters, '--resume', 'auto', *small(config),
            env=environment)
        assert done.returncode == 0, done.output[-5000:]
        run = logs.read_scalars(work_dir)
        assert [line['step'] for line in run.train] == list(
            range(first, iters + 1))
        for line in run.train:
            # the annotated images of both tasks and the weak labels of both
            for key in ('det/loss_cls', 'det/loss_bbox', 'seg/loss_ce',
                        'b4m/loss_ce', 'm4b/loss_cls', 'loss'):
                assert math.isfinite(line[key]), key
            assert line['seg/loss_ce'] > 0 and line['det/loss_cls'] > 0
        metrics = run.val[-1]
        assert metrics['step'] == iters
        assert 0 <= metrics['det/bbox_mAP'] <= 1
        # untrained, it may be wrong everywhere
        assert 0 <= metrics['seg/mIoU'] <= 100
        assert (work_dir / f'iter_{iters}.pth').is_file()
