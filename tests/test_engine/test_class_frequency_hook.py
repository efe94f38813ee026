# Copyright (c) mmbombo contributors.
"""Classes are weighed by how many pixels of the training set they have."""
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from PIL import Image
from toolbox import write_voc

from mmbombo.models.losses import InverseFrequencyCELoss
from mmbombo.registry import DATASETS, HOOKS


@pytest.mark.parametrize('shift', [False, True])
def test_weights_are_inverse_frequencies(tmp_path, shift):
    root = write_voc(tmp_path / 'data', num_images=3)
    classes = ('cat', 'dog', 'cow') if shift else ('none', 'cat', 'dog', 'cow')
    classes += ('never', )
    dataset = DATASETS.build(
        dict(
            type='mmseg.BaseSegDataset',
            data_root=str(root),
            ann_file='ImageSets/Main/train.txt',
            data_prefix=dict(
                img_path='JPEGImages', seg_map_path='SegmentationClass'),
            metainfo=dict(classes=classes),
            reduce_zero_label=shift,
            pipeline=[dict(type='mmseg.LoadAnnotations')]))
    loss = InverseFrequencyCELoss()
    assert loss.class_weight is None
    HOOKS.build(dict(type='ClassFrequencyHook')).before_train(
        SimpleNamespace(
            train_dataloader=SimpleNamespace(dataset=dataset),
            model=torch.nn.ModuleList([loss]),
            logger=MMLogger.get_current_instance()))
    ids = np.concatenate([
        np.array(Image.open(path)).ravel()
        for path in (root / 'SegmentationClass').iterdir()
    ])
    counts = np.bincount(ids, minlength=4)[int(shift):]
    expected = 1 / counts / (1 / counts).sum()
    assert loss.class_weight.tolist() == pytest.approx([*expected, 0.])
    # needed by training alone
    assert not loss.state_dict()
