# Copyright (c) mmbombo contributors.
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmbombo.utils.saved_bytes import LiveBytes, measure_saved_bytes

MAP = 4 * 4 * 32 * 32


@pytest.fixture
def network():
    layers = [
        nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(inplace=True))
        for _ in range(12)
    ]
    network = nn.Sequential(*layers)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return network


def maps(size):
    """Bytes in maps, but for those of weights and statistics."""
    return round(size / MAP, 1)


def test_a_storage_counts_once_and_until_it_is_freed(network):
    image = torch.randn(1, 4, 32, 32)
    with LiveBytes() as meter:
        output = network(image)
        # the output of an inplace ReLU is also the input of what follows
        assert maps(meter.live) == 12
        output.view(-1).sum().backward()
        assert maps(meter.live) == 1
        del output
        assert maps(meter.live) == 0
    assert maps(meter.peak) > 12


@pytest.mark.parametrize('reentrant', [True, False])
def test_recomputation_counts(network, reentrant):
    image = torch.randn(1, 4, 32, 32, requires_grad=True)
    image.grad = torch.zeros_like(image)

    def step():
        x = image
        for layer in network:
            x = checkpoint(layer, x, use_reentrant=reentrant)
        x.sum().backward()

    saved = measure_saved_bytes(lambda: network(image).sum().backward())
    network = nn.Sequential(*(network[i:i + 4] for i in range(0, 12, 4)))
    recomputed = measure_saved_bytes(step)
    # the outputs of three blocks, and what one block saves again
    assert 3 + 4 <= maps(recomputed) < 12 < maps(saved)
