# Copyright (c) mmbombo contributors.
"""Distinct class-specific saliency, against its formula."""
import numpy as np
import torch

from mmbombo.weak_labels.dcsm import distinct_class_saliency


def squash(x):
    return np.tanh(3 * x / x.max()) if x.max() > 0 else np.zeros_like(x)


def test_formula():
    layers = [
        torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(i))
        for i in range(2)
    ]
    found = distinct_class_saliency(layers, (6, 8))
    for k in range(3):
        total = sum(
            squash(sum(squash(x[k] - x[j]) for j in range(3) if j != k))
            for x in map(torch.Tensor.numpy, layers))
        np.testing.assert_allclose(
            found[k], (total / total.max()).clip(0), atol=1e-5)
    assert found.max() == 1 and found.min() == 0


def test_layers_of_several_sizes():
    layers = [torch.zeros(2, 4, 4), torch.zeros(2, 8, 8)]
    for layer in layers:
        half = layer.shape[-1] // 2
        layer[0, :, :half] = layer[1, :, half:] = 1
    found = distinct_class_saliency(layers, (16, 16))
    assert found.shape == (2, 16, 16)
    assert (found[0, :, :6] > .9).all() and (found[0, :, 10:] == 0).all()
    torch.testing.assert_close(found[1], found[0].flip(-1))


def test_alike_classes_have_no_map():
    same = torch.rand(1, 5, 5).expand(3, -1, -1)
    assert (distinct_class_saliency([same, 0 * same], (9, 9)) == 0).all()
