# Copyright (c) mmbombo contributors.
"""The dense energy against loops over pairs of pixels, and in a model."""
import numpy as np
import pytest
import torch

from mmbombo.models.losses.dense_energy import dense_energy


def case(num=2, classes=3, height=5, width=6, seed=0):
    """Probabilities, images, gates and a mask of padding, in float64."""
    generator = torch.Generator().manual_seed(seed)

    def rand(channels):
        return torch.rand(
            num,
            channels,
            height,
            width,
            generator=generator,
            dtype=torch.float64)

    inside = torch.ones(num, 1, height, width)
    inside[-1, :, :, -2:] = 0
    return (rand(classes) * 3).softmax(1), rand(3) * 60, inside, rand(1)


SIGMAS = dict(sigma_xy=3., sigma_rgb=15.)


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


def test_energy_and_both_gradients_equal_their_formulas():
    probs, images, inside, gate = case()
    shown = probs * inside
    near = torch.stack([slow_filter(*x) for x in zip(shown, images)])
    gated = torch.stack([slow_filter(*x) for x in zip(gate * shown, images)])
    for exact_grad, slope in ((False, -2 * gate * near),
                              (True, -gate * near - gated)):
        probs.grad = None
        energy = dense_energy(
            probs.requires_grad_(), images, inside, gate, **SIGMAS,
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
