# Copyright (c) mmbombo contributors.
"""MMDetection's own inference on our configs and checkpoints, where the data
are not."""
import cv2
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmengine.config import Config
from toolbox import CLASSES, SEG_CLASSES, tiny_model, tiny_model_cfg

from mmbombo.apis import MultiTaskInferencer

PALETTE = [(1, 2, 3), (4, 5, 6), (7, 8, 9)]
METAINFO = dict(
    classes=CLASSES,
    palette=PALETTE,
    seg_classes=SEG_CLASSES,
    seg_palette=[(0, 0, 0), *PALETTE])
VOC = dict(
    type='PartialVOCDataset',
    data_root='absent/',
    ann_file='val.txt',
    annotation_kinds=('bbox', 'sem_seg'),
    metainfo=METAINFO)
COCO = dict(
    type='PartialAnnotationDataset',
    annotation_kinds=('bbox', 'sem_seg'),
    metainfo=METAINFO,
    dataset=dict(
        type='mmdet.CocoDataset', data_root='absent/', ann_file='val.json'))
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(96, 64), keep_ratio=True),
    dict(type='LoadPartialAnnotations'),
    dict(
        type='LabelComponents',
        class_map=dict(
            det_classes=CLASSES,
            seg_classes=SEG_CLASSES,
            background='background'),
        min_area=1),
    dict(type='PackMultiTaskInputs')
]


MIXED = dict(
    type='MixedSourceDataset',
    datasets=[
        dict(VOC, test_mode=True, pipeline=PIPELINE),
        dict(COCO, test_mode=True, pipeline=PIPELINE)
    ])


def make_config(dataset):
    model = tiny_model_cfg()
    model['task_heads']['det']['test_cfg']['score_thr'] = 0.
    return Config(
        dict(
            default_scope='mmbombo',
            model=model,
            test_dataloader=dict(dataset=dataset),
            visualizer=dict(
                type='MultiTaskLocalVisualizer',
                vis_backends=[dict(type='LocalVisBackend')])))


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(
        dict(
            state_dict=tiny_model().state_dict(),
            meta=dict(dataset_meta=METAINFO)), path)
    return str(path)


@pytest.fixture
def image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'x.png'), pixels)
    return str(tmp_path / 'x.png')


def expected_sample(config, checkpoint, image):
    inferencer = MultiTaskInferencer(
        config, checkpoint, device='cpu', show_progress=False)
    return inferencer(image, return_datasamples=True)['predictions'][0]


@pytest.mark.parametrize('dataset', [*MIXED['datasets'], MIXED])
def test_inference_detector(dataset, checkpoint, image):
    config = make_config(dataset)
    expected = expected_sample(config, checkpoint, image)
    model = init_detector(config, checkpoint, device='cpu')
    assert model.dataset_meta['classes'] == CLASSES
    assert model.dataset_meta['palette'] == PALETTE
    for given in (image, cv2.imread(image)):
        sample = inference_detector(model, given)
        assert len(sample.pred_instances) > 0
        for key, value in expected.pred_instances.items():
            assert torch.equal(sample.pred_instances[key], value), key
        assert torch.equal(sample.pred_sem_seg.sem_seg,
                           expected.pred_sem_seg.sem_seg)


# of several sources it finds no pipeline, as of MMDetection's own
@pytest.mark.parametrize('dataset', MIXED['datasets'])
def test_det_inferencer(dataset, checkpoint, image, tmp_path):
    config = make_config(dataset)
    expected = expected_sample(config, checkpoint, image)
    inferencer = DetInferencer(
        config, checkpoint, device='cpu', scope='mmbombo', show_progress=False)
    out = tmp_path / 'out'
    first = inferencer(image, out_dir=str(out), no_save_pred=False)
    assert (out / 'vis/x.png').is_file() and (out / 'preds/x.json').is_file()
    second = inferencer([image, cv2.imread(image)],
                        batch_size=2,
                        return_vis=True)
    assert len(second['visualization']) == 2
    for prediction in first['predictions'] + second['predictions']:
        for key in ('scores', 'bboxes'):
            np.testing.assert_allclose(
                prediction[key], expected.pred_instances[key], atol=1e-4)
