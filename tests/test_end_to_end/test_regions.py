# Copyright (c) mmbombo contributors.
"""The guide to regions is a config that trains, resumes and is tested."""
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from toolbox import write_voc

ENV = dict(PHOTO_STAMPS_SHORT_SIDE='48')
OPTIONS = {
    'train_dataloader.batch_size': 2,
    'model.backbone.init_cfg': None,
    'model.decode_head.fc_channels': 16,
    'default_hooks.logger.interval': 1,
    **{
        f'{part}_dataloader.{key}': value
        for part in ('train', 'val', 'test')
        for key, value in dict(num_workers=0, persistent_workers=False).items(
        )
    }
}
OPTIONS = ['--cfg-options', *(f'{k}={v}' for k, v in OPTIONS.items())]


@pytest.fixture(scope='module')
def folder(repo, tmp_path_factory):
    """The guide's data and config."""
    folder = tmp_path_factory.mktemp('regions')
    data = write_voc(folder / 'voc', num_images=4)
    mine = folder / 'data/mine'
    shutil.copytree(data / 'JPEGImages', mine / 'images')
    (mine / 'masks').mkdir()
    for path in (data / 'SegmentationClass').iterdir():
        ids = np.minimum(np.array(Image.open(path)), 2)
        Image.fromarray(ids).save(mine / 'masks' / path.name)
    for part in ('train', 'val'):
        shutil.copy(data / 'ImageSets/Main/train.txt', mine / f'{part}.txt')
    page = (repo / 'docs/en/user_guides/masks_through_regions.md').read_text()
    block, = re.findall('```python\n(.*?)```', page, re.DOTALL)
    (folder / 'my_regions.py').write_text(
        block.replace("'e2s2/", f"'{repo}/configs/e2s2/"))
    return folder


def test_guide(folder, commands, logs):

    def run(script, *arguments):
        done = commands.run(
            script, 'my_regions.py', *arguments, *OPTIONS, cwd=folder, env=ENV)
        assert done.returncode == 0, done.output
        return done.output

    run('tools/dataset_converters/fill_caches.py')
    assert len(list(folder.glob('data/mine/regions/*/*.npz'))) == 4
    for iters in (2, 3):
        output = run('tools/train.py', '--iters', iters, '--resume')
        assert 'weights of the classes: background' in output
    assert len(list(folder.glob('data/mine/regions/*/*.npz'))) == 4
    scalars = logs.read_scalars(folder / 'work_dirs/my_regions')
    row, = scalars.train  # of the second run
    assert row['iter'] == 3 and row['decode.loss_ce'] > 0
    run('tools/test.py', 'work_dirs/my_regions/iter_3.pth', '--show-dir',
        'shown', '--out', 'out.json')
    scores = json.loads((folder / 'out.json').read_text())
    for key in ('seg/mIoU', 'seg/mAcc', 'seg/trimap_1', 'seg/trimap_4'):
        assert scores[key] == pytest.approx(scalars.val[-1][key])
    assert len(list(folder.rglob('shown/**/*.*'))) == 4


def test_regions_that_are_not_packed_are_one_line(folder, commands):
    done = commands.run(
        'tools/train.py',
        'my_regions.py',
        '--iters',
        1,
        '--work-dir',
        'no',
        *OPTIONS,
        'train_dataloader.dataset.pipeline.8.type=mmseg.PackSegInputs',
        cwd=folder,
        env=ENV)
    assert done.returncode == 1
    line = done.output.splitlines()[-1]
    assert line.startswith('UserError') and 'has no regions' in line
