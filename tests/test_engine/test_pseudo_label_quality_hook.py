# Copyright (c) mmbombo contributors.
import json
import os
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from PIL import Image
from toolbox import CLASSES, SEG_CLASSES, tiny_model_cfg, write_voc
from torch.utils.data import DataLoader

from mmbombo.datasets.samplers import PartialAnnotationSampler
from mmbombo.registry import DATASETS, HOOKS, MODELS

CLASS_MAP = dict(
    det_classes=CLASSES, seg_classes=SEG_CLASSES, background='background')
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadPartialAnnotations'),
    dict(type='LoadPseudoMask', class_map=CLASS_MAP, method='box'),
    dict(type='mmdet.Resize', scale=(96, 80), keep_ratio=False),
    dict(type='LabelComponents', class_map=CLASS_MAP, min_area=1),
    dict(type='PackMultiTaskInputs')
]


def sources(root, *kinds_of_sources):
    return dict(
        type='MixedSourceDataset',
        datasets=[
            dict(
                type='PartialVOCDataset',
                data_root=str(root),
                ann_file='ImageSets/Main/train.txt',
                source=source,
                annotation_kinds=kinds,
                metainfo=dict(classes=CLASSES, seg_classes=SEG_CLASSES),
                pipeline=PIPELINE)
            for source, kinds in zip(('boxes', 'masks'), kinds_of_sources)
        ])


@pytest.fixture
def root(tmp_path):
    # a seed whose objects overlap: weak labels err
    return write_voc(tmp_path / 'voc', num_images=4, seed=5)


@pytest.fixture
def hook_cfg(root):
    both = ('bbox', 'sem_seg')
    return dict(
        type='PseudoLabelQualityHook',
        weak=sources(root, ('bbox', ), ('sem_seg', )),
        truth=sources(root, both, both),
        interval=2,
        num_images=8,
        batch_size=3)


@pytest.fixture
def model():
    return MODELS.build(
        tiny_model_cfg(
            class_map=CLASS_MAP,
            weak_losses=[
                dict(type='BoxForMaskLoss'),
                dict(type='MaskForBoxLoss', predictor='none')
            ]))


def rectangle(shape, x1, y1, x2, y2):
    pixels = np.zeros(shape, bool)
    pixels[y1:y2, x1:x2] = True
    return pixels


def objects_of(path, shape):
    """Segmentation ids and filled boxes of an image, the largest first."""
    found = []
    for node in ElementTree.parse(path).iter('object'):
        x1, y1, x2, y2 = (int(side.text) for side in node.find('bndbox'))
        found.append((SEG_CLASSES.index(node.find('name').text),
                      rectangle(shape, x1 - 1, y1 - 1, x2, y2)))
    return sorted(found, key=lambda item: -item[1].sum())


def qualities_of_files(root):
    """Accuracy of the filled boxes, mean IoU of the masks' rectangles."""
    right, ious = [], []
    for path in (root / 'Annotations').iterdir():
        with Image.open(root / f'SegmentationClass/{path.stem}.png') as image:
            mask = np.array(image)
        objects = objects_of(path, mask.shape)
        filled = np.zeros_like(mask)
        for seg_id, box in objects:
            filled[box] = seg_id
        right.append((filled == mask).mean())
        for seg_id, box in objects:
            _, _, table, _ = cv2.connectedComponentsWithStats(
                np.uint8(mask == seg_id))
            rects = [rectangle(mask.shape, x, y, x + w, y + h)
                     for x, y, w, h, _ in table[1:]]
            ious.append(max((box & r).sum() / (box | r).sum() for r in rects))
    return np.mean(right), np.mean(ious)


def test_training_logs_the_qualities(hook_cfg, model, root, tmp_path):
    train_set = DATASETS.build(hook_cfg['weak'])
    Runner(
        model=model,
        work_dir=str(tmp_path / 'run'),
        train_dataloader=DataLoader(
            train_set,
            batch_size=2,
            sampler=PartialAnnotationSampler(train_set, 2, seed=0),
            collate_fn=pseudo_collate),
        train_cfg=dict(by_epoch=False, max_iters=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=.001)),
        custom_hooks=[hook_cfg],
        default_scope='mmbombo',
        experiment_name=os.urandom(8).hex()).train()
    file, = tmp_path.glob('run/*/vis_data/scalars.json')
    rows = map(json.loads, file.read_text().splitlines())
    row, = (row for row in rows if 'b4m/accuracy' in row)
    assert row['step'] == 2
    accuracy, mean_iou = qualities_of_files(root)
    assert row['b4m/accuracy'] == pytest.approx(accuracy) != 1
    assert row['m4b/mean_iou'] == pytest.approx(mean_iou) != 1
    # filled boxes label every pixel, and without predictions the boxes are
    # the rectangles
    assert row['b4m/labeled'] == 1.
    for key in ('precision', 'recall', 'mean_iou'):
        assert row[f'm4b/{key}'] == row[f'rectangles/{key}'] > 0
    log, = tmp_path.glob('run/*/*.log')
    assert f'm4b/mean_iou: {mean_iou:.3f}' in log.read_text()


def test_each_module_has_its_own_mode_again(hook_cfg, model):
    hook = HOOKS.build(hook_cfg)
    hook.before_train(None)
    model.train()
    model.neck.eval()
    hook.measure(model)
    assert model.backbone.training and not model.neck.training


def test_data_sets_of_different_lengths(hook_cfg, root):
    hook_cfg['truth'] = sources(root, ('bbox', 'sem_seg'))
    with pytest.raises(ValueError, match='8 weakly and 4 fully annotated'):
        HOOKS.build(hook_cfg).before_train(None)
