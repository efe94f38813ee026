# Copyright (c) mmbombo contributors.
"""The examples of a page are files outside the package, and train.

A weak loss, a task head with its metric, and an annotation kind of one's own,
from three sources.
"""
import json
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from mmbombo.utils import load_checkpoint_safely

PAGE = 'docs/en/advanced_guides/data_flow.md'
FILES = {'my_losses.py', 'my_head.py', 'my_kind.py', 'my_config.py'}
#: Small images, few of them, without a download.
OPTIONS = {
    'model.backbone.init_cfg': None,
    'model.backbone.widen_factor': .25,
    'model.neck.in_channels': '[8,8,24,80]',
    'train_dataloader.batch_size': 6,
    'train_dataloader.sampler.batch_size': 6,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'default_hooks.logger.interval': 1,
    'log_processor.window_size': 1,
    'default_hooks.visualization.draw': True,
    'default_hooks.visualization.train_interval': 3,
}
ITERS = 3


def write_counts(root, number=4):
    """Images with as many squares as the list says."""
    rng = np.random.default_rng(0)
    (root / 'counts').mkdir(parents=True)
    listed = []
    for i in range(number):
        image = rng.integers(0, 60, (64, 64, 3), dtype=np.uint8)
        for k in range(i):
            image[8:24, 16 * k:16 * k + 12] = 200
        Image.fromarray(image).save(root / f'counts/{i}.png')
        listed.append(dict(img_path=f'{i}.png', count=i))
    (root / 'counts.json').write_text(
        json.dumps(dict(metainfo=dict(), data_list=listed)))


@pytest.fixture(scope='module')
def trained(repo, commands, logs, shapes, tmp_path_factory):
    """The page's files in a folder, and what came of training them."""
    folder = tmp_path_factory.mktemp('examples')
    text = (repo / PAGE).read_text(encoding='utf-8')
    for name, block in re.findall(r'^```python\n# (\S+)\n(.*?)^```$', text,
                                  re.M | re.S):
        with open(folder / name, 'a', encoding='utf-8') as file:
            file.write(block.replace('/path/to/mmbombo', str(repo)))
    write_counts(folder / 'data')
    work_dir = folder / 'work_dir'
    env = dict(
        PYTHONPATH=os.pathsep.join([str(folder), str(repo)]),
        SHAPES_ROOT=str(shapes),
        PHOTO_STAMPS_SHORT_SIDE='64')
    done = commands.run(
        'tools/train.py', folder / 'my_config.py', '--iters', ITERS,
        '--work-dir', work_dir, '--cfg-options',
        *[f'{key}={value}' for key, value in OPTIONS.items()],
        cwd=folder, env=env)
    assert done.returncode == 0, done.output[-5000:]
    return SimpleNamespace(
        folder=folder, work_dir=work_dir, scalars=logs.read_scalars(work_dir))


def test_the_page_has_all_files_and_nothing_private(trained):
    files = list(trained.folder.glob('my_*.py'))
    assert FILES == {path.name for path in files}
    code = ''.join(path.read_text() for path in files)
    names = set(re.findall(r'\b(?:import |\.)(_\w+)', code))
    assert names == {'_replace'}  # of named tuples


def test_every_loss_is_in_the_log(trained):
    rows = trained.scalars.train
    assert len(rows) == ITERS
    for row in rows:
        for key in ('det/loss_cls', 'seg/loss_ce', 'b4m/loss_ce',
                    'm4b/loss_cls'):
            assert np.isfinite(row[key]), key
        for key in ('count/loss_count', 'box_count/loss_count'):
            assert row[key] > 0, key
    # it starts after a fifth of the training
    assert ['self_seg/loss_ce' in row for row in rows] == [False, True, True]


def test_the_head_learns_and_is_scored(trained):
    weights = [
        load_checkpoint_safely(
            str(trained.work_dir / f'iter_{i}.pth'))['state_dict']
        for i in (2, 3)
    ]
    for name in ('task_heads.count.fc.weight', 'task_heads.count.fc.bias'):
        before, after = (x[name] for x in weights)
        assert not torch.equal(before, after)
    metrics, = trained.scalars.val
    assert metrics['count/mae'] > 0
    scores = (metrics['det/bbox_mAP'], metrics['seg/mIoU'] / 100,
              metrics['count/within_one'])
    assert metrics['joint/score'] == pytest.approx(sum(scores) / 3)


def test_pictures_are_drawn_of_the_new_kind(trained):
    """As training and its drawer see it, beside the other sources."""
    pictures = trained.work_dir.rglob('vis_image/train_*')
    assert {path.name.split('_')[1] for path in pictures} == {
        'det', 'seg', 'counts'}
