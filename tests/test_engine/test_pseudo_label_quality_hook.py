# Copyright (c) mmbombo contributors.
from types import SimpleNamespace

import pytest

from mmbombo.engine.hooks import PseudoLabelQualityHook
from mmbombo.registry import MODELS
from mmbombo.testing import CLASSES, SEG_CLASSES, tiny_model_cfg, write_voc

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
        type='MultiSourceDataset',
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
def hook(tmp_path):
    root = write_voc(tmp_path, num_images=4)
    both = ('bbox', 'sem_seg')
    hook = PseudoLabelQualityHook(
        weak=sources(root, ('bbox', ), ('sem_seg', )),
        truth=sources(root, both, both),
        num_images=8,
        batch_size=3)
    hook.before_train(SimpleNamespace())
    return hook


def test_qualities_of_known_labels(hook):
    model = MODELS.build(
        tiny_model_cfg(
            class_map=CLASS_MAP,
            weak_losses=[
                dict(type='BoxForMaskLoss'),
                dict(type='MaskForBoxLoss', predictor='none')
            ]))
    model.train()
    model.neck.eval()
    values = hook.measure(model)
    # filled boxes label every pixel, and without predictions the boxes are
    # the rectangles
    assert values['b4m/labelled'] == 1.
    for key in ('precision', 'recall', 'mean_iou'):
        assert values[f'm4b/{key}'] == values[f'rectangles/{key}'] > 0
    # each module has its own mode again
    assert model.backbone.training and not model.neck.training
