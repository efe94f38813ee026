# Copyright (c) mmbombo contributors.
"""The guides to own data and to tags are configs that train, by their
commands."""
import json
import re
import shlex
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from toolbox import make_sample, tiny_model_cfg

from mmbombo.datasets import ImageLabelDataset
from mmbombo.engine.pseudo_labels import CamMasks
from mmbombo.registry import MODELS
from mmbombo.utils import UserError

GUIDES = 'docs/en/user_guides/'
#: Ids in the guide's JSON and PNG files.
CATEGORY_IDS = dict(person=1, car=3, bus=6)
MASK_IDS = dict(car=26, bus=26, person=24)
TAG_OF = dict(car='vehicle', bus='vehicle', person='person')
ROAD, IGNORED = 7, 255
SIZE = (64, 96)
#: Small steps on small images, without a download.
OPTIONS = {
    'model.backbone.init_cfg': 'None',
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
#: The networks in small.
RESNET = {
    'model.backbone.depth': 18,
    'model.backbone.base_channels': 8,
    'model.neck.in_channels': '[8,16,32,64]',
    'model.neck.out_channels': 16,
    'model.task_heads.det.head.in_channels': 16,
    'model.task_heads.det.head.feat_channels': 16,
    'model.task_heads.seg.head.in_channels': '[16,16,16,16]',
    'model.task_heads.seg.head.channels': 16
}
MOBILENET = {
    'model.backbone.widen_factor': .25,
    'model.neck.in_channels': '[8,8,24,80]'
}


def small_images(sources, validation, resize):
    """Options for the pipelines of some sources."""
    options = {
        f'train_dataloader.dataset.datasets.{source}.pipeline.{step}': value
        for source in range(sources)
        for step, value in ((f'{resize}.scale', '(96,64)'),
                            (f'{resize + 1}.crop_size', '(64,64)'))
    }
    options.update({
        f'val_dataloader.dataset.datasets.{source}.pipeline.1.scale': '(96,64)'
        for source in range(validation)
    })
    return options


#: Instead of the guide's own, or besides.
SHORT = {'train.py': ('--iters', 2), 'browse_dataset.py': ('--number', 4)}


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


def write_tags(root, random, count=4):
    """A CSV file and its images; the last one shows nothing."""
    (root / 'images').mkdir(parents=True)
    lines = ['file,labels']
    for i in range(count):
        image, objects, _ = draw(random)
        Image.fromarray(image).save(root / f'images/{i}.jpg')
        tags = sorted({TAG_OF[name] for name, _ in objects})
        lines.append(f'{i}.jpg,{";".join(tags) * (i + 1 < count)}')
    (root / 'tags.csv').write_text('\n'.join(lines))


def write_masks(root, part, random, count=4):
    """Images and masks of the same names."""
    for folder in ('images', 'labels'):
        (root / folder / part).mkdir(parents=True)
    for i in range(count):
        image, _, mask = draw(random)
        Image.fromarray(image).save(root / f'images/{part}/{i}.jpg')
        Image.fromarray(mask).save(root / f'labels/{part}/{i}.png')


@pytest.fixture(scope='module')
def place(repo, commands, tmp_path_factory):
    """The guides' configs among the bases, data that fit them, and what runs
    the commands of a guide."""
    root = tmp_path_factory.mktemp('guides')
    shutil.copytree(repo / 'configs/_base_', root / 'configs/_base_')
    own_data, tags, stages, boxes = (
        (repo / GUIDES / name).read_text(encoding='utf-8')
        for name in ('own_data.md', 'training_from_tags.md',
                     'training_in_stages.md', 'boxes_from_tags.md'))
    (root / 'configs/my_config.py').write_text(
        '\n'.join(blocks(own_data, 'python')))
    mixed = blocks(boxes, 'python')[-1:]  # the rest has a test of its own
    for block in blocks(tags, 'python') + blocks(stages, 'python') + mixed:
        (root / block.split()[1]).write_text(block)
    random = np.random.default_rng(0)
    for name in ('boxes', 'val_boxes'):
        write_boxes(root / 'data/street', name, random)
    for part in ('train', 'val'):
        write_masks(root / 'data/city', part, random)
    write_tags(root / 'data/tagged', random)

    def run(words, options, count=None):
        python, script, *arguments = words
        assert python == 'python'
        arguments = [x.replace('iter_20000', 'iter_2') for x in arguments]
        name = script.split('/')[-1]
        if name in SHORT:
            option, usual = SHORT[name]
            arguments += [option, count or usual]
        done = commands.run(
            script, *arguments,
            '--cfg-options', *(f'{k}={v}' for k, v in options.items()),
            cwd=root)
        assert done.returncode == 0, done.output[-5000:]

    return SimpleNamespace(
        root=root,
        run=run,
        own_data=list(read_commands(own_data)),
        tags=list(read_commands(tags)),
        stages=list(read_commands(stages)))


def read_commands(text):
    for block in blocks(text, 'bash'):
        for line in block.splitlines():
            yield shlex.split(line, comments=True)


def check_losses(scalars, *names):
    assert len(scalars.train) == 2
    for name in names:
        assert np.isfinite(scalars.train[-1][name]), name


def test_own_data(place, logs):
    options = {**OPTIONS, **RESNET, **small_images(2, 2, resize=3)}
    for words in place.own_data:
        place.run(words, options)

    assert len(list((place.root / 'browse').glob('*.png'))) == 4
    assert len(list((place.root / 'data/pseudo_masks').rglob('*.npz'))) == 4
    work_dir = place.root / 'work_dirs/trial'
    scalars = logs.read_scalars(work_dir)
    check_losses(scalars, 'det/loss_cls', 'seg/loss_ce', 'b4m/loss_ce',
                 'm4b/loss_cls')
    metrics, = scalars.val
    assert {'det/bbox_mAP', 'seg/mIoU', 'joint/score'} <= metrics.keys()
    assert (work_dir / 'iter_2.pth').is_file()


def test_tags_alone_and_the_second_step(place, logs):
    options = {**OPTIONS, **MOBILENET, **small_images(1, 1, resize=2)}
    for words in place.tags:
        place.run(words, options)

    scalars = logs.read_scalars(place.root / 'work_dirs/my_tags')
    check_losses(scalars, 'cls/loss_cls', 't4m/loss_ce', 'energy/loss_energy')
    assert 't4m/loss_ce' not in scalars.train[0]
    masks = sorted((place.root / 'data/tagged/masks').iterdir())
    assert [x.name for x in masks] == [f'{i}.png' for i in range(4)]
    assert not np.array(Image.open(masks[-1])).any()
    scalars = logs.read_scalars(place.root / 'work_dirs/my_second_step')
    check_losses(scalars, 'seg/loss_ce')
    assert 'seg/mIoU' in scalars.val[0]


def test_stages(place, logs):
    options = {**OPTIONS, **MOBILENET, **small_images(1, 1, resize=2)}
    words, = place.stages
    place.run(words, options, count=3)
    work_dir = place.root / 'work_dirs/my_stages'
    scalars = logs.read_scalars(work_dir)
    assert ['seg/loss_ce' in x for x in scalars.train] == [False, True, True]
    assert all(x['cls/loss_cls'] > 0 for x in scalars.train)
    for stage in '12':
        masks = work_dir / 'stages' / stage / 'tags/masks'
        assert sorted(x.name for x in masks.iterdir()) == [
            f'{i}.png' for i in range(4)
        ]


def test_tags_beside_boxes_and_masks(place, logs):
    options = {**OPTIONS, **RESNET, **small_images(3, 2, resize=3)}
    options.update({
        'model.task_heads.cls.in_channels': 16,
        'train_dataloader.batch_size': 6,
        'train_dataloader.sampler.batch_size': 6
    })
    place.run(['python', 'tools/train.py', 'configs/my_mix_in_stages.py'],
              options)
    work_dir = place.root / 'work_dirs/my_mix_in_stages'
    scalars = logs.read_scalars(work_dir)
    check_losses(scalars, 'det/loss_cls', 'seg/loss_ce', 'cls/loss_cls',
                 'b4m/loss_ce', 'm4b/loss_cls')
    masks = work_dir / 'stages/1/tags/masks'
    lines = (place.root / 'data/tagged/tags.csv').read_text().split()[1:]
    assert len(lines) == 4
    for line in lines:
        name, _, labels = line.partition(',')
        found = np.unique(Image.open(masks / name.replace('.jpg', '.png')))
        ruled_out = {1: 'vehicle', 2: 'person'}
        assert not [x for x in found if ruled_out.get(x, labels) not in labels]


def test_tags_teach_boxes(place, logs):
    options = {
        **OPTIONS,
        **RESNET,
        **small_images(3, 2, resize=3),
        'model.task_heads.cls.in_channels': 16,
        'model.weak_losses.2.start': 0,
        'train_dataloader.batch_size': 6,
        'train_dataloader.sampler.batch_size': 6
    }
    place.run(['python', 'tools/train.py', 'configs/my_mix_boxes.py'], options)
    scalars = logs.read_scalars(place.root / 'work_dirs/my_mix_boxes')
    check_losses(scalars, 't4b/loss_cls', 't4b/loss_bbox',
                 't4b/boxes_per_image')


def read_csv(folder, *lines):
    (folder / 'tags.csv').write_text('\n'.join(lines))
    ImageLabelDataset(
        data_prefix=dict(img_path='.'), ann_file='tags.csv',
        data_root=str(folder), metainfo=dict(cls_classes=('vehicle', )))


def build_model(cls=None, **kwargs):
    cfg = tiny_model_cfg(weak_losses=[dict(type='TagForMaskLoss', **kwargs)])
    if cls:
        cfg['classes'] = dict(cls=cls)
        cfg['task_heads']['cls'] = dict(
            type='ClsTaskHead', num_classes=1, in_channels=16, in_index=1)
    MODELS.build(cfg)


def ask_without_tags(folder):
    sample = make_sample((), size=64)
    sample.set_metainfo(dict(img_path='0001.jpg'))
    model = MODELS.build(
        tiny_model_cfg(
            classes=dict(cls=('cat', )),
            task_heads=dict(cls=dict(
                type='ClsTaskHead', num_classes=1, in_channels=16,
                in_index=1))))
    list(CamMasks(.5, (1, )).maps(model, torch.zeros(1, 3, 64, 64), [sample]))


#: Makes the mistake of each row of the guide's table.
MISTAKES = [
    lambda folder: read_csv(folder, *(f'{i}.jpg,' for i in range(6)),
                            '6.jpg,vehcile'),
    lambda folder: read_csv(folder, *(f'{i:04d}.jpg,' for i in (3, 4, 5, 1)),
                            *(f'{i}.jpg,' for i in range(4)), '0001.jpg,'),
    lambda folder: build_model(),
    lambda folder: build_model(cls=('Car', )),
    lambda folder: build_model(cls=('cat', ), crf='rrm'),
    ask_without_tags
]


def test_messages_of_the_guide_to_tags(repo, tmp_path):
    text = (repo / GUIDES / 'training_from_tags.md').read_text()
    table = text.partition('| mistake |')[2]
    messages = re.findall(r'^\|[^|]+\| `(.*)` \|$', table, re.M)
    assert len(messages) == len(MISTAKES)
    for message, mistake in zip(messages, MISTAKES):
        with pytest.raises(UserError) as error:
            mistake(tmp_path)
        assert message.rstrip('.') in str(error.value)
