# Copyright (c) mmbombo contributors.
"""The guide to own data is a config that trains, by the guide's commands."""
import json
import re
import shlex
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

GUIDE = 'docs/en/user_guides/own_data.md'
#: Ids in the guide's JSON and PNG files.
CATEGORY_IDS = dict(person=1, car=3, bus=6)
MASK_IDS = dict(car=26, bus=26, person=24)
ROAD, IGNORED = 7, 255
SIZE = (64, 96)
#: The network in small, on small images, without a download.
OPTIONS = {
    'model.backbone.init_cfg': 'None',
    'model.backbone.depth': 18,
    'model.backbone.base_channels': 8,
    'model.neck.in_channels': '[8,16,32,64]',
    'model.neck.out_channels': 16,
    'model.task_heads.det.head.in_channels': 16,
    'model.task_heads.det.head.feat_channels': 16,
    'model.task_heads.seg.head.in_channels': '[16,16,16,16]',
    'model.task_heads.seg.head.channels': 16,
    'train_dataloader.batch_size': 4,
    'train_dataloader.sampler.batch_size': 4,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'default_hooks.logger.interval': 1,
    # scaled with the number of iterations: once, at the end
    'default_hooks.checkpoint.interval': 40000,
    'train_cfg.val_interval': 40000
}
OPTIONS.update({
    f'train_dataloader.dataset.datasets.{source}.pipeline.{step}': value
    for source in (0, 1)
    for step, value in (('3.scale', '(96,64)'), ('4.crop_size', '(64,64)'))
})
OPTIONS.update({
    f'val_dataloader.dataset.datasets.{source}.pipeline.1.scale': '(96,64)'
    for source in (0, 1)
})


#: Instead of the guide's own, or besides.
SHORT = {'train.py': ['--iters', 2], 'browse_dataset.py': ['--number', 4]}


def blocks(text, language):
    return re.findall(rf'^```{language}\n(.*?)^```$', text, re.M | re.S)


def draw(random):
    """A photograph, its two objects (class, box) and its mask."""
    image = random.integers(90, 130, (*SIZE, 3), dtype=np.uint8)
    mask = np.zeros(SIZE, np.uint8)
    mask[-8:] = ROAD
    mask[0] = IGNORED
    objects = []
    for left in (0, 48):
        name = str(random.choice(list(CATEGORY_IDS)))
        x, y = left + int(random.integers(10)), int(random.integers(2, 20))
        image[y:y + 30, x:x + 30] = 20 + 30 * CATEGORY_IDS[name]
        mask[y:y + 30, x:x + 30] = MASK_IDS[name]
        objects.append((name, [x, y, 30, 30]))
    return image, objects, mask


def write_boxes(root, name, random, count=4):
    """A COCO JSON file and its images."""
    (root / 'images').mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for i in range(count):
        image, objects, _ = draw(random)
        file_name = f'{name}_{i}.jpg'
        Image.fromarray(image).save(root / 'images' / file_name)
        images.append(
            dict(id=i, file_name=file_name, height=SIZE[0], width=SIZE[1]))
        for label, box in objects:
            annotations.append(
                dict(id=len(annotations) + 1, image_id=i, bbox=box, area=900,
                     iscrowd=0, category_id=CATEGORY_IDS[label]))
    categories = [dict(id=i, name=label) for label, i in CATEGORY_IDS.items()]
    (root / f'{name}.json').write_text(
        json.dumps(dict(images=images, annotations=annotations,
                        categories=categories)))


def write_masks(root, part, random, count=4):
    """Images and masks of the same names."""
    for folder in ('images', 'labels'):
        (root / folder / part).mkdir(parents=True)
    for i in range(count):
        image, _, mask = draw(random)
        Image.fromarray(image).save(root / f'images/{part}/{i}.jpg')
        Image.fromarray(mask).save(root / f'labels/{part}/{i}.png')


@pytest.fixture(scope='module')
def place(repo, tmp_path_factory):
    """The guide's config among the bases, and data that fit it."""
    root = tmp_path_factory.mktemp('guide')
    text = (repo / GUIDE).read_text(encoding='utf-8')
    shutil.copytree(repo / 'configs/_base_', root / 'configs/_base_')
    (root / 'configs/my_config.py').write_text(
        '\n'.join(blocks(text, 'python')))
    random = np.random.default_rng(0)
    for name in ('boxes', 'val_boxes'):
        write_boxes(root / 'data/street', name, random)
    for part in ('train', 'val'):
        write_masks(root / 'data/city', part, random)
    commands = [
        shlex.split(line, comments=True)
        for block in blocks(text, 'bash') for line in block.splitlines()
    ]
    return SimpleNamespace(root=root, commands=commands)


def test_commands_of_the_guide(place, commands, logs):
    options = [f'{key}={value}' for key, value in OPTIONS.items()]
    for python, script, *arguments in place.commands:
        assert python == 'python'
        done = commands.run(script, *arguments,
                            *SHORT.get(script.split('/')[-1], []),
                            '--cfg-options', *options, cwd=place.root)
        assert done.returncode == 0, done.output[-5000:]

    assert len(list((place.root / 'browse').glob('*.png'))) == 4
    assert len(list((place.root / 'data/pseudo_masks').rglob('*.npz'))) == 4
    work_dir = place.root / 'work_dirs/trial'
    scalars = logs.read_scalars(work_dir)
    assert len(scalars.train) == 2
    for row in scalars.train:
        for part in ('det/loss_cls', 'seg/loss_ce', 'b4m/loss_ce',
                     'm4b/loss_cls'):
            assert np.isfinite(row[part]), part
    metrics, = scalars.val
    assert {'det/bbox_mAP', 'seg/mIoU', 'joint/score'} <= metrics.keys()
    assert (work_dir / 'iter_2.pth').is_file()
