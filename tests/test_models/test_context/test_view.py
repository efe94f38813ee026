# Copyright (c) mmbombo contributors.
import copy

import pytest
import torch
import torch.nn.functional as F
from toolbox import make_sample, tiny_model_cfg

from mmbombo.models.context import StepContext
from mmbombo.registry import MODELS

HEIGHT, WIDTH = 96, 128
UNFROZEN = dict(
    type='mmdet.ResNet',
    depth=18,
    base_channels=8,
    norm_eval=False,
    frozen_stages=-1)


def darker(inputs):
    return inputs * .5 - .25


@pytest.fixture
def model():
    """A network whose statistics move in training."""
    torch.manual_seed(0)
    model = MODELS.build(tiny_model_cfg(backbone=UNFROZEN))
    model.init_weights()
    return model.train()


@pytest.fixture
def ctx(model):
    return context(model)


def context(model):
    inputs = torch.randn(
        3, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    samples = [make_sample(('bbox', ), seed=i) for i in range(3)]
    for sample in samples:
        sample.set_metainfo(
            dict(
                img_shape=(80, 100),
                pad_shape=(HEIGHT, WIDTH),
                batch_input_shape=(HEIGHT, WIDTH),
                ori_shape=(160, 400),
                scale_factor=(.25, .5)))
    return StepContext(model, inputs, samples)


def mirrored(inputs, scale=1.):
    """Each image is flipped, and its padding stays at the right."""
    end = round(100 * scale)
    return torch.cat([inputs[..., :end].flip(-1), inputs[..., end:]], dim=-1)


def by_hand(network, inputs, scale, flip, alter):
    """Features and outputs of the heads, in evaluation mode."""
    network = copy.deepcopy(network).eval()
    if scale != 1:
        inputs = F.interpolate(
            inputs,
            size=(round(HEIGHT * scale), round(WIDTH * scale)),
            mode='bilinear',
            align_corners=False)
    if flip:
        inputs = mirrored(inputs, scale)
    if alter is not None:
        inputs = alter(inputs)
    with torch.no_grad():
        feats = network.extract_feat(inputs)
        return inputs, feats, {
            name: head(feats)
            for name, head in network.task_heads.items()
        }


@pytest.mark.parametrize('scale, flip, alter', [
    (1., False, None),
    (1., True, None),
    (.75, False, None),
    (1.5, True, None),
    (.5, True, darker),
])
@pytest.mark.parametrize('by', ['self', 'ema'])
def test_a_view_is_a_pass_of_what_is_seen(model, ctx, scale, flip, alter, by):
    network = model
    if by != 'self':
        network = copy.deepcopy(model)
        with torch.no_grad():
            for p in network.parameters():
                p.mul_(1.1)
        model.set_teacher(by, network)
    view = ctx.view([0, 2], scale=scale, flip=flip, alter=alter, by=by)
    inputs, feats, outputs = by_hand(network, ctx.inputs[[0, 2]], scale, flip,
                                     alter)
    assert torch.equal(view.inputs, inputs)
    for got, wanted in zip(view.features(), feats):
        assert torch.equal(got, wanted) and not got.requires_grad
    assert torch.equal(view.outputs('seg')[0], outputs['seg'][0])
    for got, wanted in zip(view.outputs('det'), outputs['det']):
        assert all(map(torch.equal, got, wanted))


def test_maps_come_back_as_the_images_were(ctx):
    size = HEIGHT, WIDTH
    images = ctx.inputs[[1, 2]]
    flipped = ctx.view([1, 2], flip=True)
    assert torch.equal(flipped.inputs, mirrored(images))
    assert torch.equal(flipped.restore(flipped.inputs, size), images)
    # whatever the scale of the view, and the size that is wanted
    ramp = torch.arange(float(WIDTH)).expand(1, 1, HEIGHT, -1)
    small = ctx.view([1], scale=.5, flip=True)
    half = mirrored(F.interpolate(ramp, scale_factor=.5, mode='bilinear'), .5)
    restored = small.restore(half, size)
    torch.testing.assert_close(restored[..., 4:96], ramp[..., 4:96])


def test_a_flipped_image_keeps_its_padding_at_the_right(ctx):
    """A head that looks at the image alone says the same of a mean."""
    ctx.inputs[..., 100:] = 1e3
    found = ctx.view([0], flip=True).inputs
    assert (found[..., 100:] == 1e3).all() and found[..., :100].max() < 1e3


def test_a_view_is_computed_once(model, ctx, monkeypatch):
    passes = []
    extract = model.extract_feat
    monkeypatch.setattr(model, 'extract_feat',
                        lambda x: passes.append(tuple(x.shape)) or extract(x))
    for head in model.task_heads.values():
        head.register_forward_hook(lambda *args: passes.append(args[0].tasks))
    for _ in range(2):
        view = ctx.view([0, 1], scale=.5, alter=darker)
        view.features()
        view.outputs('seg')
        view.outputs('det')
    assert passes == [(2, 3, 48, 64), ('seg', ), ('det', )]
    ctx.view([0, 1], scale=.5, alter=darker, flip=True).outputs('seg')
    ctx.view([1, 0], scale=.5, alter=darker).features()
    assert passes[3:] == [(2, 3, 48, 64), ('seg', ), (2, 3, 48, 64)]


def test_a_view_leaves_network_and_samples_as_they_are(model, ctx):
    model.backbone.layer1.eval()  # somebody's frozen part
    modes = [module.training for module in model.modules()]
    state = copy.deepcopy(model.state_dict())
    samples = copy.deepcopy(ctx.samples)
    ctx.view([0, 1], scale=.5).outputs('seg')
    assert [module.training for module in model.modules()] == modes
    assert any(modes) and not all(modes)
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key]), key
    for sample, before in zip(ctx.samples, samples):
        assert sample.metainfo == before.metainfo
        assert 'gt_instances' in sample


@pytest.mark.parametrize('grad_where_it_is_asked_first', [True, False])
def test_a_view_may_train(model, ctx, grad_where_it_is_asked_first):
    mean = model.backbone.bn1.running_mean.clone()
    view = ctx.view([0, 1], flip=True, train=True)
    with torch.set_grad_enabled(grad_where_it_is_asked_first):
        view.outputs('seg')
    view.outputs('seg')[0].sum().backward()
    assert model.backbone.conv1.weight.grad.abs().sum() > 0
    assert model.task_heads.seg.head.conv_seg.weight.grad.abs().sum() > 0
    assert not torch.equal(model.backbone.bn1.running_mean, mean)


def test_nobody_sees_before_there_is_a_network(ctx):
    assert ctx.view([0], by='ema') is None
    assert ctx.view([0], by='ema', scale=.5, train=True) is None


def test_meta_information_is_of_what_is_seen(ctx):
    view = ctx.view([2, 0], scale=.3, flip=True)
    assert view.inputs.shape == (2, 3, 29, 38)
    for sample, seed in zip(view.samples, (2, 0)):
        assert sample.img_id == seed
        assert sample.annotation_kinds == ('bbox', )
        assert sample.batch_input_shape == sample.pad_shape == (29, 38)
        # 80 * 29 / 96 and 100 * 38 / 128
        assert sample.img_shape == (24, 30)
        assert sample.ori_shape == (160, 400)
        assert sample.scale_factor == pytest.approx(
            (.25 * 38 / 128, .5 * 29 / 96))
        assert not sample.keys()
