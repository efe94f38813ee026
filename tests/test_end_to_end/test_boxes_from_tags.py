# Copyright (c) mmbombo contributors.
"""The guide to boxes from tags is a config that trains and is tested."""
import json
import re
import shutil
from xml.etree import ElementTree

import pytest
from toolbox import write_voc

OPTIONS = {
    'train_dataloader.batch_size': 2,
    'train_dataloader.sampler.batch_size': 2,
    'train_dataloader.dataset.datasets.0.pipeline.3.scale': '(96,64)',
    'val_dataloader.dataset.pipeline.2.scale': '(96,64)',
    'test_dataloader.dataset.pipeline.2.scale': '(96,64)',
    'model.backbone.init_cfg': None,
    'model.weak_losses.0.start': 0,
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
    """The guide's data and config; its tags are two of VOC's names."""
    folder = tmp_path_factory.mktemp('tags')
    data = write_voc(folder / 'data/boxes', num_images=4)
    tagged = folder / 'data/tagged'
    shutil.copytree(data / 'JPEGImages', tagged / 'images')
    lines = ['file,labels']
    names = dict(cat='vehicle', dog='person', cow='person')
    for path in sorted((data / 'Annotations').iterdir()):
        tree = ElementTree.parse(path)
        found = set()
        for name in tree.iter('name'):
            name.text = names[name.text]
            found.add(name.text)
        tree.write(path)
        lines.append(f'{path.stem}.jpg,{";".join(sorted(found))}')
    (tagged / 'tags.csv').write_text('\n'.join(lines))
    lists = data / 'ImageSets/Main'
    shutil.copy(lists / 'train.txt', lists / 'val.txt')
    page = (repo / 'docs/en/user_guides/boxes_from_tags.md').read_text()
    block, *_ = re.findall('```python\n(.*?)```', page, re.DOTALL)
    (folder / 'mine.py').write_text(
        block.replace("'wsod/", f"'{repo}/configs/wsod/"))
    return folder


def test_guide(folder, commands, logs):

    def run(script, *arguments):
        done = commands.run(script, *arguments, cwd=folder)
        assert done.returncode == 0, done.output

    run('tools/dataset_converters/saliency_maps.py', 'data/tagged/images',
        '--out', 'data/tagged/saliency', '--model', 'barrier', '--jobs', 1)
    run('tools/train.py', 'mine.py', '--iters', 2, *OPTIONS)
    assert len(list(folder.glob('data/tagged/regions/*/*.npz'))) == 4
    scalars = logs.read_scalars(folder / 'work_dirs/mine')
    row = scalars.train[-1]
    for key in ('proposals/cls/loss_mil', 'cls/loss_cls', 't4p/loss_seed',
                't4p/loss_saliency'):
        assert row[key] >= 0
    assert row['proposals/cls/loss_mil'] > 0 and 0 <= row['t4p/seeded'] <= 1
    run('tools/test.py', 'mine.py', 'work_dirs/mine/iter_2.pth', '--out',
        'out.json', *OPTIONS)
    scores = json.loads((folder / 'out.json').read_text())
    for key in ('det/CorLoc', 'det/bbox_mAP_50'):
        assert scores[key] == pytest.approx(scalars.val[-1][key])
