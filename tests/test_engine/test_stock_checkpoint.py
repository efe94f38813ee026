# Copyright (c) mmbombo contributors.
import copy
import math

import mmdet.models  # noqa: F401
import mmseg.models  # noqa: F401
import pytest
import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS as MMSEG_MODELS
from toolbox import tiny_model_cfg

from mmbombo.registry import MODELS


def stock_detector(num_classes):
    """The detector of MMDetection that has our parts."""
    cfg = tiny_model_cfg()
    head = copy.deepcopy(cfg['task_heads']['det'])
    head['head']['num_classes'] = num_classes
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MMDET_MODELS.build(
            dict(
                type='GFL',
                backbone=cfg['backbone'],
                neck=cfg['neck'],
                bbox_head=head['head'],
                train_cfg=head['train_cfg'],
                test_cfg=head['test_cfg']))


def stock_segmentor(auxiliary_heads):
    """A segmentor of MMSegmentation with our decode head."""
    cfg = tiny_model_cfg()
    head = cfg['task_heads']['seg']['head']
    auxiliary = [fcn_head() for _ in range(auxiliary_heads)]
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MMSEG_MODELS.build(
            dict(
                type='EncoderDecoder',
                backbone=dict(
                    type='ResNet',
                    depth=18,
                    base_channels=8,
                    stem_channels=8,
                    norm_cfg=dict(type='BN')),
                decode_head=head,
                auxiliary_head=auxiliary[0]
                if auxiliary_heads == 1 else auxiliary,
                test_cfg=dict(mode='whole')))


def fcn_head():
    return dict(
        type='FCNHead',
        in_channels=16,
        in_index=2,
        channels=8,
        num_convs=1,
        concat_input=False,
        num_classes=4,
        norm_cfg=dict(type='BN'),
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=.4))


def save(model, path, wrap=True):
    """Store a model whose every tensor is unlike any initialization."""
    generator = torch.Generator().manual_seed(len(str(path)))
    state = {
        k:
        torch.rand(v.shape, generator=generator) +
        5 if v.is_floating_point() else v
        for k, v in model.state_dict().items()
    }
    torch.save(dict(state_dict=state, meta={}) if wrap else state, path)
    return state


def build(*paths, auxiliary_heads=0, **kwargs):
    init_cfg = [
        dict(type='StockCheckpoint', checkpoint=str(path), **kwargs)
        for path in paths
    ]
    cfg = tiny_model_cfg(init_cfg=init_cfg[0] if len(paths) == 1 else init_cfg)
    cfg['task_heads']['seg']['auxiliary_head'] = [
        fcn_head() for _ in range(auxiliary_heads)
    ]
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.state_dict()


@pytest.fixture
def log(tmp_path):
    """Reads what the current logger has written."""
    path = tmp_path / 'log.txt'
    MMLogger.get_instance(f'log-{tmp_path.name}', log_file=str(path))
    MMLogger._instance_dict.move_to_end(f'log-{tmp_path.name}')
    return path.read_text


def test_names_of_a_distributed_wrapper_are_understood(tmp_path):
    stock = save(stock_detector(3), tmp_path / 'gfl.pth')
    torch.save({
        f'module.{k}': x
        for k, x in stock.items()
    }, tmp_path / 'wrapped.pth')
    state = build(tmp_path / 'wrapped.pth')
    plain = build(tmp_path / 'gfl.pth')
    assert torch.equal(state['backbone.conv1.weight'],
                       stock['backbone.conv1.weight'])
    assert all(torch.equal(state[k], plain[k]) for k in plain)


@pytest.mark.parametrize('wrap', [True, False])
def test_detector_fills_all_but_the_classes(tmp_path, log, wrap):
    stock = save(stock_detector(80), tmp_path / 'gfl.pth', wrap)
    state = build(tmp_path / 'gfl.pth')
    names = {k: k.replace('bbox_head.', 'task_heads.det.head.') for k in stock}
    misshapen = {
        k
        for k, ours in names.items() if state[ours].shape != stock[k].shape
    }
    assert misshapen == {'bbox_head.gfl_cls.weight', 'bbox_head.gfl_cls.bias'}
    for k, ours in names.items():
        if k not in misshapen:
            assert torch.equal(state[ours], stock[k]), k
    # Not of the checkpoint: what the heads' own initialization gives.
    torch.testing.assert_close(state['task_heads.det.head.gfl_cls.bias'],
                               torch.full((3, ), -math.log(99)))
    assert state['task_heads.seg.head.conv_seg.weight'].abs().max() < .1

    assert 'size mismatch for task_heads.det.head.gfl_cls.bias' in log()


@pytest.mark.parametrize('auxiliary_heads', [1, 2])
def test_segmentor_fills_decode_and_auxiliary_heads(tmp_path, auxiliary_heads):
    stock = save(stock_segmentor(auxiliary_heads), tmp_path / 'fpn.pth')
    state = build(tmp_path / 'fpn.pth', auxiliary_heads=auxiliary_heads)
    for name, tensor in stock.items():
        ours = name.replace('decode_head.', 'task_heads.seg.head.')
        number = '' if auxiliary_heads == 2 else '0.'
        ours = ours.replace('auxiliary_head.',
                            f'task_heads.seg.auxiliary_heads.{number}')
        assert torch.equal(state[ours], tensor), name
    assert state['neck.lateral_convs.0.conv.weight'].abs().max() < 5


def test_two_checkpoints_one_after_the_other(tmp_path):
    det = save(stock_detector(3), tmp_path / 'det_model.pth')
    seg = save(stock_segmentor(0), tmp_path / 'seg.pth')
    state = build(tmp_path / 'det_model.pth', tmp_path / 'seg.pth')
    for theirs, ours, tensors in (('bbox_head', 'det', det), ('decode_head',
                                                              'seg', seg)):
        for name, tensor in tensors.items():
            if name.startswith(theirs):
                ours_name = name.replace(theirs, f'task_heads.{ours}.head')
                assert torch.equal(state[ours_name], tensor), name
    assert torch.equal(state['backbone.conv1.weight'],
                       seg['backbone.conv1.weight'])
    assert torch.equal(state['neck.fpn_convs.0.conv.bias'],
                       det['neck.fpn_convs.0.conv.bias'])


def test_checkpoint_of_something_else_is_an_error(tmp_path):
    torch.save(dict(foo=torch.ones(1)), tmp_path / 'x.pth')
    with pytest.raises(ValueError, match="no tensor.*x.pth.*'foo'"):
        build(tmp_path / 'x.pth')


def test_own_key_map(tmp_path):
    stock = save(stock_detector(3), tmp_path / 'gfl.pth')
    state = build(tmp_path / 'gfl.pth', key_map={r'^backbone\.': 'backbone.'})
    assert torch.equal(state['backbone.conv1.weight'],
                       stock['backbone.conv1.weight'])
    assert state['task_heads.det.head.gfl_reg.weight'].abs().max() < 5
