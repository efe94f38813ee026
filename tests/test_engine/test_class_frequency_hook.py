# Copyright (c) mmbombo contributors.
"""Classes are weighed by how many pixels of the training set they have."""
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import RepeatDataset
from mmengine.logging import MMLogger
from PIL import Image
from toolbox import write_voc

from mmbombo.models.losses import InverseFrequencyCELoss
from mmbombo.registry import DATASETS, HOOKS
from mmbombo.utils import UserError


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
    given = InverseFrequencyCELoss([.5, .5])
    runner = SimpleNamespace(
        train_dataloader=SimpleNamespace(dataset=RepeatDataset(dataset, 2)),
        model=torch.nn.ModuleList([loss, given]),
        logger=MMLogger.get_current_instance())
    hook = HOOKS.build(dict(type='ClassFrequencyHook'))
    with pytest.raises(UserError, match='this is a RepeatDataset'):
        hook.before_train(runner)
    runner.train_dataloader.dataset = dataset
    hook.before_train(runner)
    assert given.class_weight.tolist() == [.5, .5]
    ids = np.concatenate([
        np.array(Image.open(path)).ravel()
        for path in (root / 'SegmentationClass').iterdir()
    ])
    counts = np.bincount(ids, minlength=4)[int(shift):]
    expected = 1 / counts / (1 / counts).sum()
    assert loss.class_weight.tolist() == pytest.approx([*expected, 0.])
    # needed by training alone
    assert not loss.state_dict()
