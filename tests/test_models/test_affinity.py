# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from mmbombo.models.layers import (CrossTaskAffinity, TaskAffinity,
                                   affinity_grid, propagate)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def stochastic(*shape):
    return torch.randn(*shape).mul(2).softmax(-1)


def test_affinity_by_hand():
    """Slow and obvious, in NumPy."""
    layer = TaskAffinity(5, 3)
    feat = torch.randn(2, 5, 3, 4)
    cells = feat.numpy().reshape(2, 5, 12)
    theta, phi = ((x.weight.detach().numpy()[..., 0,
                                             0], x.bias.detach().numpy())
                  for x in (layer.theta, layer.phi))
    wanted = np.zeros((2, 12, 12))
    for n in range(2):
        for u in range(12):
            query = theta[0] @ cells[n, :, u] + theta[1]
            keys = [phi[0] @ cells[n, :, v] + phi[1] for v in range(12)]
            scores = np.exp([query @ key for key in keys])
            wanted[n, u] = scores / scores.sum()
    found = layer(feat)
    np.testing.assert_allclose(found.detach().numpy(), wanted, atol=1e-6)
    torch.testing.assert_close(found.sum(2), torch.ones(2, 12))


def test_without_weights_all_cells_are_alike():
    layer = TaskAffinity(5, 3)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    assert (layer(torch.randn(1, 5, 2, 4)) == 1 / 8).all()


def test_cells_in_another_order():
    layer = TaskAffinity(5, 3)
    feat = torch.randn(1, 5, 3, 4)
    order = torch.randperm(12)
    moved = feat.flatten(2)[..., order].view_as(feat)
    torch.testing.assert_close(
        layer(moved),
        layer(feat)[:, order][:, :, order])


def test_no_cell_is_like_the_padding():
    layer = TaskAffinity(5, 3)
    feat = torch.randn(2, 5, 3, 4)
    valid = torch.zeros(2, 3, 4, dtype=torch.bool)
    valid[0, :2, :3] = True  # the second image has no cell of its own
    found = layer(feat, valid)
    whole = layer(feat[:1, :, :2, :3])
    inside = valid[0].flatten()
    assert (found[0][:, ~inside] == 0).all()
    torch.testing.assert_close(found[:1, inside][:, :, inside], whole)
    torch.testing.assert_close(found[1:], layer(feat[1:]))


def test_gradients():
    layer = TaskAffinity(3, 2, max_cells=6).double()
    cross = CrossTaskAffinity(2).double()
    feat = torch.randn(1, 3, 4, 6, dtype=torch.double, requires_grad=True)
    values = torch.randn(1, 2, 4, 6, dtype=torch.double, requires_grad=True)
    for transpose in (False, True):
        assert gradcheck(
            lambda x, y: propagate(y, cross([layer(x), layer(-x)]), transpose),
            (feat, values))


def test_bfloat16_is_finite():
    layer = TaskAffinity(64, 64)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=3.)
    with torch.autocast('cpu', torch.bfloat16):
        found = layer(torch.randn(1, 64, 8, 8))
    torch.testing.assert_close(found.sum(2), torch.ones(1, 64))


def test_cross_task_affinity():
    layer = CrossTaskAffinity(2)
    assert sum(x.numel() for x in layer.parameters()) == 42
    one, other = stochastic(2, 3, 7, 7)
    torch.testing.assert_close(layer([one, one]), one)
    mixed = layer([one, other])
    assert (mixed >= one.minimum(other)).all()
    assert (mixed <= one.maximum(other)).all()
    # per entry, so rows sum to 1 only about
    assert (mixed.sum(2) - 1).abs().max() > 1e-4
    weights = layer.weigh(torch.stack([one, other], 1)).softmax(1)
    torch.testing.assert_close(mixed,
                               weights[:, 0] * one + weights[:, 1] * other)
    assert CrossTaskAffinity(3)([one, other, one]).shape == (3, 7, 7)


def test_propagation():
    values = torch.randn(2, 3, 2, 4)
    eye = torch.eye(8).expand(2, -1, -1)
    assert torch.equal(propagate(values, eye), values)
    uniform = torch.full((2, 8, 8), 1 / 8)
    torch.testing.assert_close(
        propagate(values, uniform),
        values.mean((2, 3), keepdim=True).expand_as(values))
    # two segments of 3 and 5 cells
    blocks = torch.block_diag(
        torch.full((3, 3), 1 / 3), torch.full((5, 5),
                                              1 / 5)).expand(2, -1, -1)
    found = propagate(values, blocks).flatten(2)
    for part in (slice(0, 3), slice(3, 8)):
        torch.testing.assert_close(
            found[..., part],
            values.flatten(2)[...,
                              part].mean(2,
                                         keepdim=True).expand_as(found[...,
                                                                       part]))


@pytest.mark.parametrize('transpose', [False, True])
def test_propagation_by_hand(transpose):
    values, affinity = torch.randn(1, 2, 2, 3), stochastic(1, 6, 6)
    wanted = torch.zeros(1, 2, 6)
    for u in range(6):
        for v in range(6):
            weight = affinity[0, v, u] if transpose else affinity[0, u, v]
            wanted[0, :, u] += weight * values.flatten(2)[0, :, v]
    torch.testing.assert_close(
        propagate(values, affinity, transpose), wanted.view_as(values))
    constant = torch.full((1, 1, 2, 3), 3.)
    kept = propagate(constant, affinity, transpose)
    assert torch.allclose(kept, constant) != transpose


@pytest.mark.parametrize('size, limit, grid', [
    ((41, 41), 4096, (41, 41)),
    ((128, 128), 4096, (64, 64)),
    ((100, 150), 4096, (50, 75)),
    ((7, 5), 12, (4, 3)),
    ((7, 5), 35, (7, 5)),
    ((7, 5), 1, (1, 1)),
    ((7, 5), None, (7, 5)),
])
def test_larger_maps_are_pooled(size, limit, grid):
    assert affinity_grid(size, limit) == grid
    cells = grid[0] * grid[1]
    # what it is can be told from the number of cells
    assert affinity_grid(size, cells) == grid
    affinity = TaskAffinity(3, 2, limit)(torch.randn(1, 3, *size))
    assert affinity.shape == (1, cells, cells)
    constant = torch.full((1, 2, *size), 3.)
    torch.testing.assert_close(propagate(constant, affinity), constant)


def test_details_of_pooled_cells_are_kept():
    values = torch.randn(1, 2, 4, 6)
    eye = torch.eye(6)[None]
    torch.testing.assert_close(propagate(values, eye), values)
    uniform = torch.full((1, 6, 6), 1 / 6)
    means = torch.nn.functional.adaptive_avg_pool2d(values, (2, 3))
    # bilinear: the cell in the corner hears of one pooled cell alone
    change = values.mean((2, 3)) - means[..., 0, 0]
    found = propagate(values, uniform) - values
    torch.testing.assert_close(found[..., 0, 0], change)
