# Copyright (c) mmbombo contributors.
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from safetensors import safe_open
from toolbox import (CLASSES, SEG_CLASSES, load_script, tiny_model,
                     tiny_model_cfg)

from mmbombo.apis import MultiTaskInferencer
from mmbombo.utils import UserError, load_checkpoint_safely

SCRIPT = Path(__file__).resolve().parents[2] / 'tools/misc/publish_model.py'
METAINFO = dict(classes=CLASSES, seg_classes=SEG_CLASSES)


@pytest.fixture(scope='module')
def publish():
    return load_script(SCRIPT).publish


@pytest.fixture
def config():
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='mmdet.Resize', scale=(96, 64), keep_ratio=True),
        dict(type='PackMultiTaskInputs')
    ]
    return Config(
        dict(
            default_scope='mmbombo',
            model=tiny_model_cfg(),
            work_dir='/home/me/work',
            test_dataloader=dict(
                dataset=dict(
                    type='PartialVOCDataset',
                    ann_file='val.txt',
                    metainfo=METAINFO,
                    pipeline=pipeline))))


@pytest.fixture
def training(config, tmp_path):
    """A checkpoint as MMEngine writes it."""
    model = tiny_model()
    path = tmp_path / 'iter_3.pth'
    torch.save(
        dict(
            state_dict=model.state_dict(),
            optimizer=dict(state={0: torch.ones(9)}),
            message_hub=dict(runtime_info=dict(cfg=config.pretty_text)),
            meta=dict(
                dataset_meta=METAINFO, iter=3, hostname='me',
                cfg=config.pretty_text)), path)
    return str(path)


def test_what_is_published(publish, training, config, tmp_path):
    pickled, tensors = publish(training, tmp_path / 'zoo/name.pth', None)
    digest = hashlib.sha256(pickled.read_bytes()).hexdigest()[:8]
    assert pickled == tmp_path / f'zoo/name-{digest}.pth'
    assert tensors == tmp_path / f'zoo/name-{digest}.safetensors'
    assert sorted(pickled.parent.iterdir()) == [pickled, tensors]
    content = torch.load(pickled, weights_only=True)
    assert sorted(content) == ['meta', 'state_dict']
    assert content['meta']['dataset_meta'] == METAINFO
    assert content['meta']['iter'] == 3 and 'hostname' not in content['meta']
    assert '/home/me' not in content['meta']['cfg']
    expected = torch.load(training, weights_only=True)['state_dict']
    with safe_open(tensors, 'pt') as file:
        assert set(file.keys()) == set(expected)
        for key, value in expected.items():
            assert torch.equal(content['state_dict'][key], value)
            assert torch.equal(file.get_tensor(key), value)


def test_weights_alone_predict(publish, training, config, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)

    def predict(*arguments):
        inferencer = MultiTaskInferencer(
            *arguments, device='cpu', show_progress=False)
        result, = inferencer(image)['predictions']
        return result

    expected = predict(config, training)
    assert expected['segments']
    for path in publish(training, tmp_path / 'name.pth', None):
        assert predict(None, str(path)) == expected


def test_a_published_file_can_be_published(publish, training, tmp_path):
    for path in publish(training, tmp_path / 'a.pth', None):
        again, _ = publish(str(path), tmp_path / 'b.pth', None)
        meta = load_checkpoint_safely(str(again))['meta']
        assert tuple(meta['dataset_meta']['classes']) == CLASSES


def test_config_from_a_file(publish, training, config, tmp_path):
    content = torch.load(training, weights_only=True)
    bare = tmp_path / 'bare.pth'
    torch.save(content['state_dict'], bare)
    with pytest.raises(UserError, match='bare.pth.*no config'):
        publish(str(bare), tmp_path / 'name.pth', None)
    path = tmp_path / 'config.py'
    config.dump(path)
    published, _ = publish(str(bare), tmp_path / 'name.pth', str(path))
    meta = torch.load(published, weights_only=True)['meta']
    assert meta['dataset_meta'] == METAINFO
    assert 'MultiTaskDetector' in meta['cfg']
