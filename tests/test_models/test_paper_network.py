# Copyright (c) mmbombo contributors.
"""Backbone, neck and segmentation head of BoMBo's networks."""
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from toolbox import make_sample
from torch import nn

from mmbombo.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs/_base_/models'

LEVEL_SIZES = (16, 8, 4, 2)


def build(cfg):
    module = MODELS.build(cfg)
    module.init_weights()
    return randomize_norms(module)


def randomize_norms(module):
    """Running statistics and affine weights that do something."""
    generator = torch.Generator().manual_seed(0)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            size = norm.weight.shape
            norm.running_mean.copy_(torch.randn(size, generator=generator))
            norm.running_var.copy_(torch.rand(size, generator=generator) + .5)
            norm.weight.data.copy_(torch.rand(size, generator=generator) + .5)
            norm.bias.data.copy_(torch.randn(size, generator=generator))
    return module


def slow_block(block, x, stride=1, act=True):
    """Convolution, normalization by its formula, LeakyReLU(0.1)."""
    weight = block.conv.weight
    assert block.conv.bias is None
    x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
    norm = block.norm
    scale = norm.weight / (norm.running_var + 1e-5).sqrt()
    x = (x - norm.running_mean[:, None, None]) * scale[:, None, None] \
        + norm.bias[:, None, None]
    return torch.where(x > 0, x, .1 * x) if act else x


def twice(x):
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def maps(channels, sizes, num_images=2):
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(num_images, c, s, s, generator=generator)
        for c, s in zip(channels, sizes)
    ]


def gradients_reach_everything(module, outputs):
    sum((x**2).sum() for x in outputs).backward()
    return all(p.grad is not None and p.grad.abs().max() > 0
               for p in module.parameters())


def test_backbone_is_mmdets_without_its_pool():
    cfg = dict(depth=18, base_channels=8, out_indices=(2, 3), norm_eval=False)
    net = build(dict(type='NoPoolResNet', **cfg))
    stock = MODELS.build(dict(type='mmdet.ResNet', **cfg))
    net.eval(), stock.eval()
    # weights of the usual network fit, all of them
    assert stock.load_state_dict(net.state_dict()).missing_keys == []
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        got = net(x)
        wanted = stock.relu(stock.norm1(stock.conv1(x)))
        for i in range(1, 5):
            wanted = getattr(stock, f'layer{i}')(wanted)
        pooled = stock(x)
    assert [y.shape[-1] for y in got] == [8, 4]
    assert [y.shape[-1] for y in pooled] == [4, 2]
    torch.testing.assert_close(got[1], wanted)


@pytest.mark.parametrize('channels', [(6, 10), (6, 10, 12)])
@pytest.mark.parametrize('fusion', ['fpn', 'pafpn'])
def test_neck_against_its_formulas(channels, fusion):
    neck = build(
        dict(type='ContextPyramid', in_channels=channels, out_channels=8,
             fusion=fusion)).eval()
    feats = maps(channels, LEVEL_SIZES)
    with torch.no_grad():
        got = neck(feats)
        x = slow_block(neck.fine, feats[0], act=False)
        x = x + twice(slow_block(neck.coarse, feats[1], act=False))
        context = feats[-1].mean(dim=(2, 3), keepdim=True)
        x = x + slow_block(neck.context, context, act=False)
        x = torch.where(x > 0, x, .1 * x)
        levels = []
        for i, block in enumerate(neck.levels):
            x = slow_block(block, x, stride=1 if i == 0 else 2)
            levels.append(x)
        fpn = neck.top_down
        for i in (3, 2, 1, 0):
            levels[i] = slow_block(fpn.lateral_convs[i], levels[i])
            if i < 3:
                levels[i] = levels[i] + twice(levels[i + 1])
        wanted = [
            slow_block(conv, x) for conv, x in zip(fpn.fpn_convs, levels)
        ]
        if fusion == 'pafpn':
            path = neck.bottom_up
            for i in range(3):
                wanted[i + 1] = wanted[i + 1] + slow_block(
                    path.downsample[i], wanted[i], stride=2)
            wanted = [
                slow_block(conv, x) for conv, x in zip(path.outputs, wanted)
            ]
    assert [tuple(x.shape[1:]) for x in got] == [(8, s, s)
                                                 for s in LEVEL_SIZES]
    for a, b in zip(got, wanted):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('fusion', ['fpn', 'pafpn'])
def test_neck_has_no_dead_layer_and_takes_odd_sizes(fusion):
    neck = build(
        dict(type='ContextPyramid', in_channels=(6, 10), out_channels=8,
             fusion=fusion)).train()
    outputs = neck([torch.randn(2, 6, 11, 13), torch.randn(2, 10, 6, 7)])
    assert [tuple(x.shape[-2:]) for x in outputs] == [(11, 13), (6, 7),
                                                      (3, 4), (2, 2)]
    assert gradients_reach_everything(neck, outputs)


def test_neck_says_what_is_wrong():
    with pytest.raises(ValueError, match='2 or 3 maps.*in_channels'):
        MODELS.build(dict(type='ContextPyramid', in_channels=[8]))
    with pytest.raises(ValueError, match="'fpn' or 'pafpn', not 'bifpn'"):
        MODELS.build(
            dict(type='ContextPyramid', in_channels=[8, 8], fusion='bifpn'))
    neck = build(
        dict(type='ContextPyramid', in_channels=[6, 10], out_channels=8))
    with pytest.raises(ValueError, match='gives 3 maps: see its out_indices'):
        neck(maps((6, 10, 12), LEVEL_SIZES))


def seg_head(refine_stride):
    return build(
        dict(
            type='PyramidSumHead',
            in_channels=[6] * 4,
            channels=8,
            num_classes=5,
            refine_stride=refine_stride)).eval()


@pytest.mark.parametrize('refine_stride', [1, 4])
def test_seg_head_against_its_formulas(refine_stride):
    head = seg_head(refine_stride)
    levels = maps([6] * 4, LEVEL_SIZES)
    with torch.no_grad():
        got = head(levels)
        total = 0
        for x, blocks in zip(levels, head.branches):
            for block in blocks:
                x = twice(slow_block(block, x))
            total = total + x
        assert [len(blocks) for blocks in head.branches] == [1, 2, 3, 4]
        if refine_stride == 1:
            total = twice(twice(total))
        for block in head.refine:
            total = slow_block(block, total)
        wanted = F.conv2d(total, head.conv_seg.weight)
    assert len(head.refine) == 3 and head.conv_seg.bias is None
    assert got.shape == (2, 5, *[128 // refine_stride] * 2)
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


def test_light_seg_head_takes_the_weights_of_the_full_one():
    full, light = seg_head(1), seg_head(4)
    light.load_state_dict(full.state_dict())
    with pytest.raises(ValueError, match='must be 1 or 4, not 2'):
        seg_head(2)


@pytest.mark.parametrize('refine_stride', [1, 4])
def test_seg_head_has_no_dead_layer_and_takes_odd_sizes(refine_stride):
    head = seg_head(refine_stride)
    sizes = [(11, 13), (6, 7), (3, 4), (2, 2)]
    logits = head([torch.randn(1, 6, *size) for size in sizes])
    scale = 8 // refine_stride
    assert logits.shape[-2:] == (11 * scale, 13 * scale)
    assert gradients_reach_everything(head, [logits])


def test_config_trains_and_predicts():
    cfg = Config.fromfile(CONFIGS / 'r18_cem-fpn_anchor-light.py').model
    names = [f'class {i}' for i in range(20)]
    cfg.class_map = dict(
        det_classes=names, seg_classes=['background'] + names)
    cfg.backbone.init_cfg = None
    model = MODELS.build(cfg)
    model.init_weights()
    kinds = [('bbox', ), ('bbox', ), ('sem_seg', ), ('sem_seg', )]
    samples = [
        make_sample(kind, seed=i, size=64) for i, kind in enumerate(kinds)
    ]
    images = torch.randn(4, 3, 64, 64)
    losses = model.train().loss(images, samples)
    assert {'det/loss_cls', 'det/loss_bbox', 'seg/loss_ce'} <= set(losses)
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert all(
        p.grad is not None and torch.isfinite(p.grad).all()
        for p in model.parameters())
    model.eval()
    with torch.no_grad():
        results = model.predict(images[:1], samples[:1])
    assert results[0].pred_sem_seg.sem_seg.shape == (1, 64, 64)
    assert results[0].pred_instances.bboxes.shape[1] == 4
