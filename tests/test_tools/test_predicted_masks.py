# Copyright (c) mmbombo contributors.
"""A network writes masks of its training images; another one reads them."""
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import LabelData
from mmseg.datasets import BaseSegDataset
from PIL import Image
from toolbox import (CLASSES, SEG_CLASSES, load_script, make_sample,
                     tiny_model_cfg, write_voc)

from mmbombo.engine.pseudo_labels import CamMasks
from mmbombo.engine.pseudo_labels.mask_writer import tag_rules
from mmbombo.registry import DATASETS, MODELS
from mmbombo.utils import UserError
from mmbombo.visualization import label_map_image

ROOT = Path(__file__).resolve().parents[2]
TOOL = str(ROOT / 'tools/dataset_converters/predicted_masks.py')
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
            for file in (place / 'out').iterdir()
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
    assert all((mask == 2).all() for mask in run('--ignore-tags').values())


@pytest.mark.parametrize('threshold, found', [(.72, [1, 255, 0]),
                                              (.74, [255, 255, 0])])
def test_unsure_pixels_are_ignored(run, threshold, found):
    """Probabilities are those of the classes that may be there."""
    masks = run('--threshold', str(threshold))
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
    masks = run('--cam-threshold', '.3')
    assert (masks['000'] == 1).all()
    assert np.isin(masks['001'], [2, 3]).all()
    assert not masks['002'].any()


class ColorNetwork(torch.nn.Module):
    """The activation map of class k is color k, at half of the size."""

    classes = dict(cls=CLASSES, seg=SEG_CLASSES)
    class_map = None

    def __init__(self):
        super().__init__()
        self.task_heads = dict(cls=torch.nn.Module())
        self.task_heads['cls'].part = lambda task, outputs: outputs
        self.task_heads['cls'].forward = lambda feats, samples: (None, feats)

    def extract_feat(self, inputs):
        return torch.nn.functional.avg_pool2d(inputs, 2)

    def head_name(self, name):
        return name


@pytest.mark.parametrize('seg_classes, elsewhere', [
    (SEG_CLASSES, 0),
    (('sky', 'road') + CLASSES, 255),
])
def test_activation_maps(seg_classes, elsewhere):
    """A cat at the left and a dog at the right, half as bright; padding
    that would be a cow, or the brightest cat."""
    inputs = torch.zeros(1, 3, 64, 80)
    inputs[0, 0, 16:32, 8:24] = 4.
    inputs[0, 1, 16:32, 40:56] = 2.
    inputs[0, :, :, 76:] = 9.
    sample = make_sample(
        ('image_label', ),
        gt_image_label=LabelData(label=torch.tensor([1, 1, 0])))
    sample.set_metainfo(
        dict(
            img_shape=(64, 64),
            ori_shape=(128, 128),
            batch_input_shape=(64, 80),
            scale_factor=(.5, .5)))
    model = ColorNetwork()
    model.classes = dict(cls=CLASSES, seg=seg_classes)
    writer = CamMasks(.5, (.5, 1.))
    writer.prepare(model,
                   SimpleNamespace(metainfo=dict(cls_classes=CLASSES)))

    ids, = writer.ids(model, inputs, [sample])
    assert ids.shape == (128, 128)
    cat = len(seg_classes) - 3
    assert (ids[34:62, 18:46] == cat).all()
    assert (ids[34:62, 82:110] == cat + 1).all()
    ids[28:68, 12:52] = ids[28:68, 76:116] = elsewhere
    assert (ids == elsewhere).all()


def test_activation_maps_need_tags():
    with pytest.raises(UserError, match='0.jpg has no tags'):
        list(
            CamMasks(.3, (1., )).maps(ColorNetwork(),
                                      torch.zeros(1, 3, 64, 64),
                                      [make_sample((), size=64)]))


def test_ids_need_names():
    data = SimpleNamespace(metainfo=dict(cls_classes=CLASSES))
    with pytest.raises(UserError, match='names of their ids'):
        tag_rules(SimpleNamespace(classes=dict(cls=CLASSES)), data)


def test_interrupted_run_continues(run, place, capsys):
    run()
    before = (place / 'out/001.png').stat().st_mtime_ns
    (place / 'out/000.png').unlink()
    assert sorted(run()) == IMAGES
    assert '1 masks written' in capsys.readouterr().out
    assert (place / 'out/001.png').stat().st_mtime_ns == before


def test_unknown_source(run):
    with pytest.raises(
            SystemExit, match=r"named \['tag'\]; there are .*masks"):
        run('--sources', 'tag')


def test_two_images_of_one_name(run, place):
    (place / 'voc/tags.csv').write_text('000.jpg,cat\nmore/000.jpg,dog\n')
    (place / 'voc/JPEGImages/more').mkdir()
    with pytest.raises(SystemExit, match='000.png; write one source'):
        run()


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


def test_configured_second_step():
    """It learns from what the tool has written, and is judged by the truth."""
    config = Config.fromfile(TWO_STEP)
    source, = config.train_dataloader.dataset.datasets
    assert source.annotation_kinds == ('sem_seg', 'image_label')
    assert source.data_prefix == dict(seg_map_path='predicted_masks')
    assert 'data_prefix' not in config.val_dataloader.dataset
