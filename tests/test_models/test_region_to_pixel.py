# Copyright (c) mmbombo contributors.
"""Scores of regions as scores of superpixels and pixels."""
import time

import pytest
import torch

from mmbombo.models.layers import paint_superpixels, region_to_superpixel

# superpixel 3 is in no region
GOLDEN = torch.tensor([[2., 0.], [1., 3.], [0., 1.]])
PAIRS = torch.tensor([[0, 1, 1, 1, 2], [0, 0, 1, 2, 2]])


def random_case(seed, regions=12, superpixels=9, classes=4):
    generator = torch.Generator().manual_seed(seed)
    member = torch.rand(regions, superpixels, generator=generator) < .3
    member[:, -1] = False
    scores = torch.randn(
        regions, classes, generator=generator, dtype=torch.double)
    return scores.requires_grad_(), member


def weighted(scores, decay):
    """Mean of scores (n, ) by rank, slow and obvious."""
    ranked = scores[scores.argsort(descending=True)]
    weights = [decay**i for i in range(len(ranked))]
    return sum(w * s for w, s in zip(weights, ranked)) / sum(weights)


def by_loops(scores, member, decay):
    rows = [
        [weighted(scores[inside, c], decay)
         for c in range(scores.size(1))] if inside.any() else None
        for inside in member.T
    ]
    covered = [x for row in rows if row for x in row]
    lowest = min(x.item() for x in covered) if covered else 0.
    lowest = scores.new_full((scores.size(1), ), lowest)
    return torch.stack(
        [torch.stack(row) if row else lowest for row in [*rows, None]])


def test_golden_case():
    scores = GOLDEN.clone().requires_grad_()
    values = region_to_superpixel(scores, PAIRS, 4)
    assert values.tolist() == [[2, 3], [1, 3], [1, 3], [1, 1], [1, 1]]
    values[:3].sum().backward()
    assert scores.grad.tolist() == [[1, 0], [2, 3], [0, 0]]


def test_no_gradient_from_what_no_region_contains():
    scores = GOLDEN.clone().requires_grad_()
    region_to_superpixel(scores, PAIRS, 4)[3:].sum().backward()
    assert not scores.grad.any()


@pytest.mark.parametrize('decay', [0., .5, 1.])
def test_first_of_equal_regions_learns(decay):
    scores = torch.ones(3, 1, requires_grad=True)
    pairs = torch.tensor([[0, 1, 2], [0, 0, 0]])
    region_to_superpixel(scores, pairs, 1, decay)[0].sum().backward()
    weights = torch.tensor([decay**i for i in range(3)])
    assert torch.allclose(scores.grad[:, 0], weights / weights.sum())


@pytest.mark.parametrize('decay', [0., .3, 1.])
@pytest.mark.parametrize('seed', range(5))
def test_as_by_loops(seed, decay):
    scores, member = random_case(seed)
    values = region_to_superpixel(scores,
                                  member.nonzero().T, member.size(1), decay)
    expected = by_loops(scores, member, decay)
    assert torch.allclose(values, expected)
    up = torch.randn_like(values)
    assert torch.allclose(*(torch.autograd.grad(x, scores, up)[0]
                            for x in (values, expected)))


@pytest.mark.parametrize('decay', [0., .3, 1.])
def test_gradient(decay):
    scores, member = random_case(0, regions=6, superpixels=5, classes=2)
    pairs = member.nonzero().T
    # all but what has the minimum of the others as a constant
    inside = torch.cat([member.any(0), torch.tensor([False])])
    assert torch.autograd.gradcheck(
        lambda x: region_to_superpixel(x, pairs, 5, decay)[inside], scores)


def test_more_regions_lower_no_score():
    scores, member = random_case(1)
    member[:3, -1] = True
    fewer, more = (
        region_to_superpixel(scores,
                             x.nonzero().T, member.size(1))
        for x in (member[:8], member))
    inside = member[:8].any(0)
    assert (more[:-1][inside] >= fewer[:-1][inside]).all()
    assert (more[:-1][inside] > fewer[:-1][inside]).any()


@pytest.mark.parametrize('decay', [0., .5])
def test_order_of_regions_is_indifferent(decay):
    scores, member = random_case(2)
    order = torch.randperm(len(scores))
    one, other = (region_to_superpixel(x,
                                       m.nonzero().T, member.size(1), decay)
                  for x, m in ((scores, member), (scores[order],
                                                  member[order])))
    assert torch.allclose(one, other)


@pytest.mark.parametrize('decay', [0., .5])
@pytest.mark.parametrize('superpixels', [0, 3])
@pytest.mark.parametrize('regions', [0, 2])
def test_nothing_is_covered(regions, superpixels, decay):
    scores = torch.randn(regions, 2, requires_grad=True)
    values = region_to_superpixel(scores, torch.zeros(2, 0, dtype=torch.long),
                                  superpixels, decay)
    assert torch.equal(values, torch.zeros(superpixels + 1, 2))
    values.sum().backward()
    assert not scores.grad.any()


def test_painting():
    values = torch.randn(4, 2, dtype=torch.double, requires_grad=True)
    superpixels = torch.tensor([[0, 0, 2], [-1, 2, 2]])
    painted = paint_superpixels(values, superpixels)
    assert painted.shape == (2, 2, 3)
    for y, x in torch.cartesian_prod(torch.arange(2), torch.arange(3)):
        assert torch.equal(painted[:, y, x], values[superpixels[y, x]])
    up = torch.randn(2, 2, 3, dtype=torch.double)
    painted.backward(up)
    for number in range(4):
        place = superpixels % 4 == number
        assert torch.allclose(values.grad[number], up[:, place].sum(1))


def dense_maximum(scores, member):
    """As :func:`region_to_superpixel` would be without sparsity."""
    return torch.stack([
        scores[:, c].expand_as(member).masked_fill(
            ~member, -torch.inf).max(dim=1).values
        for c in range(scores.size(1))
    ],
                       dim=1)


def test_is_faster_than_dense():
    """At 2,000 x 500 x 33 it takes 16 ms, the dense form 790 ms."""
    scores = torch.randn(500, 8, requires_grad=True)
    member = torch.rand(200, 500) < .05
    pairs = member.T.nonzero().T

    def seconds(function):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            function().sum().backward()
            times.append(time.perf_counter() - start)
        return min(times)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    sparse = seconds(lambda: region_to_superpixel(scores, pairs, 200))
    dense = seconds(lambda: dense_maximum(scores, member))
    torch.set_num_threads(threads)
    assert 3 * sparse < dense
