# Copyright (c) mmbombo contributors.
"""The dense energy against loops over pairs of pixels, and in a model."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from toolbox import SIZE, make_sample, tiny_model

from mmbombo.models.context import StepContext
from mmbombo.models.losses.dense_energy import dense_energy
from mmbombo.models.utils import raw_images
from mmbombo.registry import MODELS
from mmbombo.utils import UserError

SIGMAS = dict(sigma_xy=3., sigma_rgb=15.)
METHODS = ('exact', 'lattice')


def rand(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=dtype)


def case(num=2, classes=3, size=(5, 6)):
    """Probabilities, images, a mask of padding and gates, in float64."""
    inside = torch.ones(num, 1, *size)
    inside[-1, :, :, -2:] = 0
    probs = (rand(num, classes, *size) * 3).softmax(dim=1)
    images = rand(num, 3, *size, seed=1) * 60
    return probs, images, inside, rand(num, 1, *size, seed=2)


def slow_filter(values, image):
    """``(C, H, W)`` filtered, pair by pair."""
    values, image = values.numpy(), image.numpy()
    result = np.zeros_like(values)
    for y, x in np.ndindex(*image.shape[1:]):
        for v, u in np.ndindex(*image.shape[1:]):
            place = ((y - v)**2 + (x - u)**2) / SIGMAS['sigma_xy']**2
            color = ((image[:, y, x] - image[:, v, u])**2).sum()
            weight = np.exp(-place / 2 - color / SIGMAS['sigma_rgb']**2 / 2)
            result[:, y, x] += weight * values[:, v, u]
    return torch.from_numpy(result)


def test_energy_and_both_gradients_equal_their_formulas(monkeypatch):
    monkeypatch.setitem(dense_energy.__globals__['BLOCK'], 'cpu',
                        7 * 30)  # 7 rows of 30
    probs, images, inside, gate = case()
    shown = probs * inside
    near = torch.stack([slow_filter(*x) for x in zip(shown, images)])
    gated = torch.stack([slow_filter(*x) for x in zip(gate * shown, images)])
    for exact_grad, slope in ((False, -2 * gate * near),
                              (True, -gate * near - gated)):
        probs.grad = None
        energy = dense_energy(
            probs.requires_grad_(),
            images,
            inside,
            gate,
            **SIGMAS,
            exact_grad=exact_grad)
        wanted = -(gate * shown * near).sum(dim=(1, 2, 3))
        torch.testing.assert_close(energy, wanted)
        energy.sum().backward()
        torch.testing.assert_close(probs.grad, slope * inside)


@pytest.mark.parametrize('exact_grad,gate_is_one', [(True, False),
                                                    (False, True)])
def test_gradient_of_the_energy(exact_grad, gate_is_one):
    """The exact one always; the published one where the gate is 1."""
    probs, images, inside, gate = case()
    if gate_is_one:
        gate = torch.ones_like(gate)
    assert torch.autograd.gradcheck(
        lambda x: dense_energy(
            x, images, inside, gate, **SIGMAS, exact_grad=exact_grad),
        probs.requires_grad_())


def photo(size=72):
    """Smooth patches with edges, shading and noise, as a photograph has."""
    patches = F.interpolate(rand(1, 3, 6, 6) * 255, size=(size, size))
    shade = F.interpolate(
        rand(1, 1, 4, 4, seed=1) * 80, size=(size, size), mode='bicubic')
    return patches + shade + rand(1, 3, size, size, seed=2) * 25


@pytest.mark.parametrize('exact_grad', [False, True])
def test_error_of_the_lattice(exact_grad):
    images = photo().float()
    size = images.shape[-2:]
    probs = F.interpolate(
        rand(1, 21, 9, 9, dtype=torch.float32) * 8, size=size,
        mode='bilinear').softmax(dim=1).requires_grad_()
    one = torch.ones(1, 1, *size)
    gate = 1 - probs.detach().amax(dim=1, keepdim=True)
    energies, slopes = [], []
    for method in METHODS:
        energy = dense_energy(probs, images, one, gate, 25., 15., exact_grad,
                              method)
        energies.append(energy.item())
        slopes += torch.autograd.grad(energy.sum(), probs)
    exact, lattice = (x.flatten() for x in slopes)
    assert energies[1] == pytest.approx(energies[0], rel=0.02)
    assert torch.cosine_similarity(exact, lattice, dim=0) > 0.995
    assert lattice.norm() / exact.norm() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize('method', METHODS)
def test_padding_alone_is_zero(method):
    probs, images, inside, gate = (x.float() for x in case(size=(12, 12)))
    energy = dense_energy(
        probs.requires_grad_(),
        images,
        inside * 0,
        gate,
        **SIGMAS,
        method=method)
    energy.sum().backward()
    assert not energy.any() and not probs.grad.any()


@pytest.mark.parametrize('method', METHODS)
def test_half_precision(method):
    probs, images, inside, gate = (x.float() for x in case(size=(12, 12)))
    half = probs.bfloat16().requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        energy = dense_energy(
            half, images, inside.bool(), gate, **SIGMAS, method=method)
    energy.sum().backward()
    wanted = dense_energy(
        half.detach().float(), images, inside, gate, **SIGMAS, method=method)
    torch.testing.assert_close(energy.detach(), wanted)
    assert half.grad.isfinite().all() and half.grad.any()


# ---------------------------------------------------------------- in a model
def energy_model(**kwargs):
    return tiny_model(dict(type='DenseEnergyLoss', loss_weight=1., **kwargs))


def context(model, *kinds, size=SIZE):
    """Images of smooth colors; the segmentation head says the same of all."""
    inputs = F.interpolate(
        rand(len(kinds), 3, 8, 8, dtype=torch.float32) * 2 - 1,
        size=(size, size),
        mode='bilinear')
    samples = [make_sample(x, seed=i, size=size) for i, x in enumerate(kinds)]
    ctx = StepContext(model, inputs, samples)
    logits = F.interpolate(
        rand(1, 4, 6, 6, dtype=torch.float32) * 6,
        size=(size // 4, size // 4),
        mode='bilinear').repeat(len(ctx.plan['seg']), 1, 1, 1)
    ctx._outputs['seg'] = (logits.requires_grad_(), )
    return ctx


TAGS, BOX, MASK, NONE = ('image_label', ), ('bbox', ), ('sem_seg', ), ()


@pytest.mark.parametrize('kind,wanted', [('image_label', [0]), ('bbox', [1]),
                                         (None, [0, 1, 3])])
def test_images_of_the_kind_without_a_mask(kind, wanted):
    model = energy_model(source_kind=kind)
    ctx = context(model, TAGS, BOX, MASK, NONE)
    assert model.weak_losses[0].images(ctx) == wanted


def test_gate_of_labeled_pixels():
    """The network's doubt where there is a label, in this image."""
    model = energy_model(source_kind='bbox')
    ctx = context(model, MASK, BOX, BOX)
    labels = torch.full((1, SIZE, SIZE), 255)
    labels[:, :, 64:] = 2
    ctx.pseudo_labels['seg'] = {0: labels * 0, 2: labels}
    logits = ctx.outputs('seg')[0]
    got, = torch.autograd.grad(model.weak_losses[0](ctx)['loss_energy'],
                               logits)

    probs = logits[1:].softmax(dim=1)
    one = torch.ones(2, 1, 32, 32)
    gate = one.clone()
    gate[1, :, :, 16:] -= probs.detach()[1, :, :, 16:].amax(dim=0)
    colors = F.interpolate(
        ctx.inputs[1:] * 60 + 120, size=(32, 32), mode='area')
    energy = dense_energy(probs, colors, one, gate, 25., 15.).mean() * 16
    torch.testing.assert_close(model.weak_losses[0](ctx)['loss_energy'],
                               energy)
    wanted, = torch.autograd.grad(energy, logits)
    torch.testing.assert_close(got, wanted)

    ungated = energy_model(source_kind='bbox', gate='ones').weak_losses[0]
    assert ungated(ctx)['loss_energy'].item() == pytest.approx(
        16 * dense_energy(probs, colors, one, one, 25., 15.).mean().item())


@pytest.mark.parametrize('label', [0, 255])
def test_wholly_labeled_or_unlabeled(label):
    model = energy_model()
    ctx = context(model, TAGS)
    ctx.pseudo_labels['seg'][0] = torch.full((1, SIZE, SIZE), label)
    logits = ctx.outputs('seg')[0]
    with torch.no_grad():
        logits[:, 0, :16] = 200.  # no doubt: a gate of exactly 0
    loss = model.weak_losses[0](ctx)['loss_energy']
    grad, = torch.autograd.grad(loss, logits)
    assert loss < 0 and grad.isfinite().all()


def test_the_padding_of_the_batch_has_no_part():
    model = energy_model()
    ctx = context(model, TAGS)
    ctx.samples[0].set_metainfo(dict(img_shape=(SIZE, 64)))
    logits = ctx.outputs('seg')[0]
    grad, = torch.autograd.grad(model.weak_losses[0](ctx)['loss_energy'],
                                logits)
    assert grad[..., :16].any() and not grad[..., 16:].any()


def test_one_weight_serves_for_all_scales():
    losses = [
        model.weak_losses[0](context(model, TAGS))['loss_energy'].item()
        for model in (energy_model(scale_factor=x) for x in (.125, .25, .5))
    ]
    assert losses == pytest.approx([losses[2]] * 3, rel=0.15)


def test_a_step_learns_from_it():
    model = energy_model(source_kind='bbox', start=0., exact_grad=True)
    samples = [make_sample(BOX), make_sample(MASK, seed=1)]
    losses = model.loss(rand(2, 3, SIZE, SIZE, dtype=torch.float32), samples)
    losses['energy/loss_energy'].backward()
    head = model.task_heads['seg']
    assert all(x.grad.isfinite().all() for x in head.parameters()
               if x.grad is not None)
    assert head.head.conv_seg.weight.grad.any()
    losses = model.loss(
        rand(1, 3, SIZE, SIZE, dtype=torch.float32), samples[1:])
    assert 'energy/loss_energy' not in losses


def test_a_gate_that_there_is_not():
    with pytest.raises(UserError, match='gate of DenseEnergyLoss'):
        energy_model(gate='all')


@pytest.mark.parametrize('bgr_to_rgb', [True, False])
def test_images_as_they_were(bgr_to_rgb):
    bgr = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    preprocessor = MODELS.build(
        dict(
            type='MultiTaskDataPreprocessor',
            mean=[103.5, 116.3, 123.7],
            std=[57.4, 57.1, 58.4],
            bgr_to_rgb=bgr_to_rgb))
    inputs = preprocessor(dict(inputs=[bgr], data_samples=None))['inputs']
    torch.testing.assert_close(
        raw_images(inputs, preprocessor),
        bgr.flip(0)[None].float())
