# Copyright (c) mmbombo contributors.
from pathlib import Path

import cv2
import mmdet.apis
import mmseg.apis
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from toolbox import (CLASSES, SEG_CLASSES, load_script, tiny_model,
                     tiny_model_cfg)

from mmbombo.apis import MultiTaskInferencer
from mmbombo.registry import MODELS
from mmbombo.utils import UserError
from mmbombo.utils.config_names import load_config

SCRIPT = Path(__file__).resolve().parents[2] / \
    'tools/model_converters/to_stock.py'
METAINFO = dict(classes=CLASSES, seg_classes=SEG_CLASSES)
# 'stem_channels' has another default in MMSegmentation
RESNET = dict(
    type='mmdet.ResNet', depth=18, base_channels=8, stem_channels=8)
MOBILENET = dict(
    type='mmdet.MobileNetV2', widen_factor=.1, out_indices=(1, 2, 4, 6))


@pytest.fixture(scope='module')
def convert():
    return load_script(SCRIPT).convert


def save(tmp_path, **kwargs):
    """A config and a checkpoint."""
    model = tiny_model_cfg(**kwargs)
    model['task_heads']['det']['test_cfg']['score_thr'] = 0.
    cfg = Config(
        dict(
            default_scope='mmbombo',
            model=model,
            test_dataloader=dict(
                dataset=dict(
                    type='PartialVOCDataset',
                    metainfo=METAINFO,
                    pipeline=[
                        dict(type='LoadImageFromFile'),
                        dict(
                            type='mmdet.Resize',
                            scale=(90, 60),
                            keep_ratio=True),
                        dict(type='LoadPartialAnnotations'),
                        dict(type='PackMultiTaskInputs')
                    ]))))
    cfg.dump(tmp_path / 'ours.py')
    network = tiny_model(**kwargs)
    for name, value in network.state_dict().items():
        if name.endswith(('running_mean', 'bn.bias')):
            value.uniform_(-.1, .1)
    torch.save(
        dict(
            state_dict=network.state_dict(),
            meta=dict(dataset_meta=METAINFO)), tmp_path / 'ours.pth')
    return str(tmp_path / 'ours.py'), str(tmp_path / 'ours.pth')


@pytest.fixture(params=['resnet', 'cut resnet', 'mobilenet'])
def ours(request, tmp_path):
    if request.param == 'resnet':
        return save(tmp_path, backbone=RESNET)
    if request.param == 'cut resnet':
        cut = dict(
            type='LocallySupervisedBackbone', backbone=RESNET, cuts=['layer2'])
        return save(tmp_path, backbone=cut)
    neck = dict(
        type='mmdet.FPN',
        in_channels=[8, 8, 16, 32],
        out_channels=16,
        norm_cfg=dict(type='BN'),
        num_outs=4)
    return save(tmp_path, backbone=MOBILENET, neck=neck)


@pytest.fixture
def image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'x.png'), pixels)
    return str(tmp_path / 'x.png')


def predict(ours, image):
    inferencer = MultiTaskInferencer(
        *ours, device='cpu', show_progress=False)
    return inferencer(image, return_datasamples=True)['predictions'][0]


def test_detector(convert, ours, image, tmp_path):
    convert(*ours, 'det', tmp_path / 'stock/det.pth')
    config = tmp_path / 'stock/det.py'
    assert 'mmbombo' not in config.read_text()
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = mmdet.apis.init_detector(
            str(config), str(tmp_path / 'stock/det.pth'), device='cpu')
        assert model.dataset_meta['classes'] == CLASSES
        sample = mmdet.apis.inference_detector(model, image)
    expected = predict(ours, image).pred_instances
    assert len(expected) > 2
    for key in ('bboxes', 'scores', 'labels'):
        torch.testing.assert_close(sample.pred_instances[key], expected[key])


def test_segmentor(convert, ours, image, tmp_path):
    convert(*ours, 'seg', tmp_path / 'stock/seg.pth')
    config = tmp_path / 'stock/seg.py'
    assert 'mmbombo' not in config.read_text()
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = mmseg.apis.init_model(
            str(config), str(tmp_path / 'stock/seg.pth'), device='cpu')
        assert model.dataset_meta['classes'] == SEG_CLASSES
        sample = mmseg.apis.inference_model(model, image)
    expected = predict(ours, image).pred_sem_seg.sem_seg
    assert len(expected.unique()) > 1
    assert torch.equal(sample.pred_sem_seg.data, expected)


def test_and_back(convert, tmp_path):
    ours = save(tmp_path, backbone=RESNET)
    for task in ('det', 'seg'):
        convert(*ours, task, tmp_path / f'{task}.pth')
    # the detector's FPN begins with its second level
    numbers = {
        rf'^neck\.(\w+_convs)\.{i}\.': rf'neck.\1.{i + 1}.'
        for i in range(3)
    }
    cfg = tiny_model_cfg(backbone=RESNET, init_cfg=[
        dict(
            type='StockCheckpoint',
            checkpoint=str(tmp_path / 'det.pth'),
            key_map={
                **numbers, r'^bbox_head\.': 'task_heads.det.head.'
            }),
        dict(type='StockCheckpoint', checkpoint=str(tmp_path / 'seg.pth'))
    ])
    model = MODELS.build(cfg)
    model.init_weights()
    expected = torch.load(ours[1], weights_only=True)['state_dict']
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize('task, library', [('det', 'mmdet'), ('seg', 'mmseg')])
def test_parts_of_ours_are_named(convert, task, library, tmp_path):
    name = 'bombo_r18_cem-fpn_anchor_voc'
    torch.save(
        MODELS.build(load_config(name).model).state_dict(),
        tmp_path / 'ours.pth')
    message = f'{library} does not have ContextPyramid, NoPoolResNet, of'
    with pytest.raises(UserError, match=message):
        convert(name, str(tmp_path / 'ours.pth'), task,
                tmp_path / 'stock.pth')
    assert not (tmp_path / 'stock.pth').exists()


def test_parts_that_differ_in_a_default_are_not_written(convert, tmp_path):
    backbone = dict(RESNET)
    del backbone['stem_channels']
    ours = save(tmp_path, backbone=backbone)
    with pytest.raises(UserError, match='other weights: .*key'):
        convert(*ours, 'seg', tmp_path / 'stock.pth')
    assert not (tmp_path / 'stock.pth').exists()
