# Copyright (c) mmbombo contributors.
"""Where an image shows its tags, by a network, its gradients or a mask."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import LabelData, PixelData
from toolbox import CLASSES, SEG_CLASSES, make_sample, tiny_model_cfg
from torch import nn

from mmbombo.models.context import StepContext
from mmbombo.models.layers.guided_relu import guided_relus
from mmbombo.models.task_modules.class_maps import distinct_classes
from mmbombo.registry import MODELS, TASK_UTILS
from mmbombo.utils import UserError

SIZE = 64
SHAPE = (56, 40)


def sample(labels=(1, 0, 1)):
    found = make_sample(('image_label', 'sem_seg', 'saliency'), size=SIZE)
    found.set_metainfo(dict(img_shape=SHAPE))
    found.gt_image_label = LabelData(label=torch.tensor(labels).char())
    found.gt_saliency.data[:, :9] = -1.
    return found


def build_model(**kwargs):
    torch.manual_seed(0)
    cfg = tiny_model_cfg(
        class_map=None, classes=dict(cls=CLASSES, seg=SEG_CLASSES), **kwargs)
    cfg['task_heads'] = dict(
        cls=dict(
            type='ClsTaskHead', num_classes=3, in_channels=16, in_index=0))
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def context(model, *samples):
    inputs = torch.randn(
        len(samples),
        3,
        SIZE,
        SIZE,
        generator=torch.Generator().manual_seed(1))
    return StepContext(model, inputs, list(samples))


def build(**kwargs):
    return TASK_UTILS.build(kwargs)


@pytest.mark.parametrize('saliency', [False, True])
def test_activation_maps(saliency):
    ctx = context(build_model(), sample())
    maps, = build(type='CAMMaps', saliency=saliency)(ctx, [0])
    cam = F.interpolate(
        ctx.outputs('cls')[1].relu(), (SIZE, SIZE),
        mode='bilinear')[0, :, :SHAPE[0], :SHAPE[1]]
    wanted = cam / (cam.amax((1, 2), keepdim=True) + 1e-5)
    if saliency:
        shown = ctx.samples[0].gt_saliency.data[0, :SHAPE[0], :SHAPE[1]]
        wanted = (wanted * shown.clamp(min=0)).sqrt()
        assert (maps[:, :9] == 0).all()  # unknown
    torch.testing.assert_close(maps, wanted)


def test_scales():
    ctx = context(build_model(), sample(), sample())
    maps = build(type='CAMMaps', scales=(1., 2.))(ctx, [1])
    assert [x.shape for x in maps] == [(3, *SHAPE)]


def test_masks():
    ctx = context(build_model(), sample())
    maps, = build(type='MaskMaps')(ctx, [0])
    ids = ctx.samples[0].gt_sem_seg.data[0, :SHAPE[0], :SHAPE[1]]
    assert all(torch.equal(maps[c], (ids == c + 1).float()) for c in range(3))


@pytest.mark.parametrize('cfg, field', [
    (dict(type='CAMMaps', saliency=True), 'gt_saliency'),
    (dict(type='MaskMaps'), 'gt_sem_seg'),
])
def test_missing_kind(cfg, field):
    poor = sample()
    delattr(poor, field)
    with pytest.raises(UserError, match='0.jpg has no'):
        build(**cfg)(context(build_model(), poor), [0])


def test_guided_gradient():
    """Only what passes both ways, at each unit."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(5, 8), nn.ReLU(inplace=True), nn.Linear(8, 8), nn.ReLU6(),
        nn.Linear(8, 1)).double()
    x = 3 * torch.randn(4, 5, dtype=torch.double)
    first = network[0](x)
    second = network[2](first.relu())
    grad = network[4].weight.clamp(min=0) * ((second > 0) & (second < 6))
    wanted = (grad @ network[2].weight).clamp(min=0) * (first > 0)
    with guided_relus(network):
        hidden = network[0](x)
        y = network[1:](hidden)
        found, = torch.autograd.grad(y.sum(), hidden)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(y, network(x))  # and as before, afterwards
    assert (found > 0).any() and 'forward' not in vars(network[1])


@pytest.mark.parametrize('backbone, layers', [
    (dict(type='mmdet.ResNet', depth=18, base_channels=8), ['layer2']),
    (dict(
        type='mmdet.MobileNetV2', widen_factor=.25,
        out_indices=(1, 2, 4, 6)), ['layer3', 'layer5']),
    (dict(type='VGG', depth=11), ['features.18', 'features.11']),
])
def test_guided_maps(backbone, layers):
    """Those of an image do not depend on the others, nothing is left behind,
    and the network's own gradients are not touched."""
    model = build_model()
    model.backbone = MODELS.build(backbone)
    if backbone['type'] == 'VGG':
        model.neck = None
        model.task_heads['cls'].classifier = nn.Conv2d(512, 3, 1)
    elif 'Mobile' in backbone['type']:
        channels = [8, 8, 24, 80]
        model.neck = MODELS.build(
            dict(
                type='mmdet.FPN',
                in_channels=channels,
                out_channels=16,
                num_outs=4))
    maps = build(type='GuidedMaps', layers=[f'backbone.{x}' for x in layers])
    ctx = context(model, sample(), sample((0, 1, 0)), sample((0, 0, 0)))
    with torch.no_grad():
        found = maps(ctx, [0, 1, 2])
    assert all(x.shape == (3, *SHAPE) for x in found)
    assert all(0 <= x.min() and x.max() <= 1 for x in found)
    assert found[0].any()  # either is above the other somewhere
    assert (found[0][1] == 0).all() and (found[2] == 0).all()
    alone = maps(ctx, [1])[0]
    torch.testing.assert_close(found[1], alone, rtol=1e-3, atol=1e-4)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


def test_distinct_classes():
    logits = torch.tensor([.1, .4, .3, .2])
    for shown, wanted in [([0, 0, 0, 0], []), ([1, 0, 0, 0], [0, 1, 2]),
                          ([1, 0, 0, 1], [0, 3])]:
        found = distinct_classes(logits, torch.tensor(shown).bool())
        assert found.tolist() == wanted
    assert distinct_classes(logits[:1], torch.tensor([True])).tolist() == [0]


def test_mask_of_other_classes():
    model = build_model()
    model.classes = dict(model.classes, seg=('background', 'cow'))
    ctx = context(model, sample())
    ids = torch.ones(1, SIZE, SIZE).long()
    ctx.samples[0].gt_sem_seg = PixelData(sem_seg=ids)
    maps, = build(type='MaskMaps')(ctx, [0])
    assert maps.amax((1, 2)).tolist() == [0, 0, 1]
