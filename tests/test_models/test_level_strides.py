# Copyright (c) mmbombo contributors.
"""Strides that a dense head states, and those of the maps that it gets."""
from types import SimpleNamespace

import pytest
import torch
from toolbox import tiny_model_cfg

from mmbombo.models.task_heads.level_strides import check_level_strides
from mmbombo.registry import MODELS

SIZE = 128
ANCHOR_FREE = dict(
    type='mmdet.FCOSHead',
    num_classes=3,
    in_channels=16,
    feat_channels=16,
    stacked_convs=1,
    norm_cfg=dict(type='BN'))


def tiny_cfg(in_indices, head=None, strides=None):
    """A detector whose maps have the strides 4, 8, 16 and 32."""
    cfg = tiny_model_cfg()
    cfg['task_heads'] = dict(det=cfg['task_heads']['det'])
    det = cfg['task_heads']['det']
    det['in_indices'] = in_indices
    if head is not None:
        det.update(head=dict(head), train_cfg=None)
    if strides is not None:
        det['head']['anchor_generator']['strides'] = strides
    return cfg


@pytest.mark.parametrize('cfg, message', [
    (tiny_cfg((0, 1, 2)),
     r'GFLHead .* strides are \[8, 16, 32\], in_indices of DetTaskHead is '
     r'\(0, 1, 2\), .* maps 0 to 3 are \[4.0, 8.0, 16.0, 32.0\]'),
    (tiny_cfg((1, 2, 3), strides=[8, 16, 64]), 'GFLHead'),
    (tiny_cfg((1, 3, 2)), 'GFLHead'),
    (tiny_cfg(None), 'is None'),
    (tiny_cfg((2, 3, 4)), r'is \(2, 3, 4\)'),
    (tiny_cfg(
        (1, 2, 3),
        dict(
            ANCHOR_FREE,
            strides=[4, 8, 16],
            regress_ranges=((-1, 32), (32, 64), (64, 1e8)))), 'FCOSHead'),
])
def test_a_model_whose_strides_are_wrong_is_not_built(cfg, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(cfg)


@pytest.mark.parametrize('cfg', [
    tiny_cfg((-3, -2, -1)),
    tiny_cfg((0, 3), strides=[4, 32]),
    tiny_cfg(
        None,
        dict(
            ANCHOR_FREE,
            strides=[4, 8, 16, 32],
            regress_ranges=((-1, 32), (32, 64), (64, 128), (128, 1e8)))),
])
def test_a_model_whose_strides_are_right_is_built(cfg):
    MODELS.build(cfg)


def maps(*sizes):
    return [
        torch.zeros(1, 1, *(x if isinstance(x, tuple) else (x, x)))
        for x in sizes
    ]


def check(strides, feats, size=SIZE):
    head = SimpleNamespace(
        prior_generator=SimpleNamespace(
            strides=[x if isinstance(x, tuple) else (x, x) for x in strides]))
    check_level_strides(head, feats, None, size)


@pytest.mark.parametrize(
    'strides, sizes',
    [
        ([64, 128, 256], [2, 1, 1]),
        ([12, 24], [11, 6]),  # 10.7 and 5.3, rounded up
        ([12, 24], [10, 5]),  # or down
        ([(8, 16)], [(8, 16)]),  # (horizontal, vertical), and (height, width)
    ])
def test_sizes_that_fit(strides, sizes):
    check(strides, maps(*sizes))


@pytest.mark.parametrize('strides, sizes', [
    ([64], [1]),
    ([128], [2]),
    ([(16, 8)], [(8, 16)]),
    ([(8, 8)], [(8, 16)]),
])
def test_sizes_that_do_not_fit(strides, sizes):
    with pytest.raises(ValueError, match='cannot use its feature maps'):
        check(strides, maps(*sizes))


def test_a_head_without_strides_is_not_judged():
    check_level_strides(SimpleNamespace(), maps(16), None, SIZE)
    head = SimpleNamespace(prior_generator=SimpleNamespace())
    check_level_strides(head, maps(16), None, SIZE)
