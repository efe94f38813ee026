# Copyright (c) mmbombo contributors.
"""A network writes masks of its training images; another one reads them."""
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from PIL import Image
from toolbox import (CLASSES, SEG_CLASSES, load_script, tiny_model_cfg,
                     write_voc)

from mmbombo.registry import DATASETS, MODELS
from mmbombo.utils import UserError
from mmbombo.visualization import label_map_image

ROOT = Path(__file__).resolve().parents[2]
TOOL = str(ROOT / 'tools/dataset_converters/predicted_labels.py')
TWO_STEP = ROOT / 'configs/rrm/two-step_mobilenetv2_fpn_photo-stamps.py'
IMAGES = [f'{i:03d}' for i in range(3)]
#: An image of cats, one of dogs and cows, and one of nothing.
TAGS = '000.jpg,cat\n001.jpg,dog;cow\n002.jpg,\n'
#: What the network says of every pixel: probably a dog, then a cow.
LOGITS = [1., 2., 4., 3.]
CONFIG = """
model = {model}
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(72, 60), keep_ratio=True),
    dict(type='LoadPartialAnnotations'), dict(type='PackMultiTaskInputs')]
tags = dict(
    type='ImageLabelDataset', ann_file='tags.csv', data_root={root!r},
    data_prefix=dict(img_path='JPEGImages'),
    metainfo=dict(cls_classes={classes}), pipeline=pipeline)
masks = dict(
    type='PartialVOCDataset', source='masks', data_root={root!r},
    ann_file='ImageSets/Main/train.txt', annotation_kinds=('sem_seg', ),
    metainfo=dict(classes={classes}, seg_classes={seg_classes}),
    pipeline=pipeline)
train_dataloader = dict(dataset=dict(
    type='MixedSourceDataset', datasets=[tags, masks]))
val_dataloader = dict(dataset=dict(masks, test_mode=True))
"""


@pytest.fixture
def place(tmp_path):
    """Three images with tags, a config, and weights."""
    root = write_voc(tmp_path / 'voc', num_images=3)
    (root / 'tags.csv').write_text(TAGS)
    cfg = tiny_model_cfg()
    cfg['task_heads'] = dict(
        seg=cfg['task_heads']['seg'],
        cls=dict(
            type='ClsTaskHead', num_classes=3, in_channels=16, in_index=1))
    cfg['classes'] = dict(cls=CLASSES)
    (tmp_path / 'config.py').write_text(
        CONFIG.format(
            model=cfg,
            classes=CLASSES,
            seg_classes=SEG_CLASSES,
            root=str(root)))
    model = MODELS.build(cfg)
    torch.nn.init.zeros_(model.task_heads.seg.head.conv_seg.weight)
    model.task_heads.seg.head.conv_seg.bias.data = torch.tensor(LOGITS)
    # all activation maps are positive
    torch.nn.init.constant_(model.task_heads.cls.classifier.bias, 9.)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'weights.pth')
    return tmp_path


@pytest.fixture
def run(place, monkeypatch):

    def main(*arguments):
        monkeypatch.setattr('sys.argv', [
            TOOL,
            str(place / 'config.py'),
            str(place / 'weights.pth'), '--out',
            str(place / 'out'), '--trust-checkpoint', *arguments
        ])
        load_script(TOOL).main()
        return {
            file.stem: np.array(Image.open(file))
            for file in (place / 'out').rglob('*.png')
        }

    return main


CRF = ('--cfg-options', 'model.task_heads.seg.test_cfg.crf=rrm_infer')


@pytest.mark.parametrize('options', [(), CRF])
def test_tags_rule_classes_out(run, options):
    masks = run(*options)
    assert sorted(masks) == IMAGES
    for name, label in zip(IMAGES, (1, 2, 0)):
        assert masks[name].shape == (80, 96)
        assert (masks[name] == label).all(), name


def test_without_tags(run):
    masks = run('--labels', 'type=PredictedMasks', 'use_tags=False')
    assert all((mask == 2).all() for mask in masks.values())


@pytest.mark.parametrize('threshold, found', [(.72, [1, 255, 0]),
                                              (.74, [255, 255, 0])])
def test_unsure_pixels_are_ignored(run, threshold, found):
    """Probabilities are those of the classes that may be there."""
    masks = run('--labels', 'type=PredictedMasks', f'threshold={threshold}')
    assert [np.unique(masks[name]).tolist()
            for name in IMAGES] == [[label] for label in found]


@pytest.mark.parametrize('options', [(), CRF])
def test_no_class_is_possible(run, place, options):
    """The tags name the background too, and one image shows nothing."""
    config = place / 'config.py'
    config.write_text(config.read_text().replace(f'cls_classes={CLASSES}',
                                                 f'cls_classes={SEG_CLASSES}'))
    masks = run(*options)
    assert (masks['000'] == 1).all() and (masks['002'] == 255).all()


def test_activation_maps_by_the_tool(run):
    masks = run('--labels', 'type=CamMasks', 'threshold=.3')
    assert (masks['000'] == 1).all()
    assert np.isin(masks['001'], [2, 3]).all()
    assert not masks['002'].any()


def test_interrupted_run_continues(run, place, capsys):
    run()
    before = (place / 'out/001.png').stat().st_mtime_ns
    (place / 'out/000.png').unlink()
    assert sorted(run()) == IMAGES
    assert 'labels of 1 images written' in capsys.readouterr().out
    assert (place / 'out/001.png').stat().st_mtime_ns == before


def test_unknown_source(run):
    with pytest.raises(
            SystemExit, match=r"named \['tag'\]; there are .*masks"):
        run('--sources', 'tag')


def test_two_images_of_one_name(run, place):
    shutil.copytree(place / 'voc', place / 'other')
    config = place / 'config.py'
    tags, masks, rest = config.read_text().partition('masks = dict')
    config.write_text(tags + masks + rest.replace("voc'", "other'", 1))
    with pytest.raises(SystemExit, match='000.png; write one source'):
        run('--sources', 'tags', 'masks')


def test_masks_are_in_folders_as_the_images_are(run, place):
    """So that images of one name have masks of their own."""
    (place / 'voc/JPEGImages/more').mkdir()
    shutil.copy(place / 'voc/JPEGImages/001.jpg',
                place / 'voc/JPEGImages/more/000.jpg')
    (place / 'voc/tags.csv').write_text('000.jpg,cat\nmore/000.jpg,dog\n')
    run()
    source = Config.fromfile(place / 'config.py').tags
    source.data_prefix.seg_map_path = str(place / 'out')
    source.update(
        annotation_kinds=('sem_seg', 'image_label'),
        metainfo=dict(cls_classes=CLASSES, seg_classes=SEG_CLASSES),
        test_mode=True)
    data = DATASETS.build(source)
    for i, label in enumerate((1, 2)):
        assert (data[i]['data_samples'].gt_sem_seg.sem_seg == label).all()
    del source.metainfo['seg_classes']
    with pytest.raises(UserError, match='seg_classes='):
        DATASETS.build(source)


def test_the_second_step_reads_them(run, place):
    run()
    masks = random_masks(place / 'out')
    config = Config.fromfile(TWO_STEP)
    source, = config.train_dataloader.dataset.datasets
    source.update(
        data_root=str(place / 'voc'),
        data_prefix=dict(seg_map_path=str(place / 'out')),
        metainfo=dict(
            classes=CLASSES, seg_classes=SEG_CLASSES, cls_classes=CLASSES),
        pipeline=[*source.pipeline[:2], source.pipeline[-1]])
    ours = DATASETS.build(source)
    stock = BaseSegDataset(
        data_root=str(place),
        data_prefix=dict(img_path='voc/JPEGImages', seg_map_path='out'),
        metainfo=dict(classes=SEG_CLASSES),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmseg.LoadAnnotations'),
            dict(type='mmseg.PackSegInputs')
        ])
    for data, field in ((ours, 'sem_seg'), (stock, 'data')):
        for i, name in enumerate(IMAGES):
            mask = data[i]['data_samples'].gt_sem_seg
            assert (mask.get(field).numpy() == masks[name]).all()


def random_masks(folder):
    random = np.random.default_rng(0)
    masks = {}
    for name in IMAGES:
        masks[name] = random.choice([0, 1, 2, 3, 255], (80, 96))
        image = label_map_image(masks[name], [])
        image.save(folder / f'{name}.png')
    return masks
