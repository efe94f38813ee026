# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
import torch

from mmbombo.registry import MODELS

SUP_CON = dict(type='mmbombo.SupConLoss')


def reference(features, labels, temperature):
    """Equation 2, image by image, in float64."""
    z = features / np.linalg.norm(features, axis=1, keepdims=True)
    losses = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        logs = {a: z[i] @ z[a] / temperature for a in others}
        total = np.log(sum(np.exp(x) for x in logs.values()))
        same = [a for a in others if labels[a] == labels[i]]
        losses.append(np.mean([total - logs[p] for p in same] or [0]))
    return np.mean(losses)


@pytest.mark.parametrize('temperature', [0.07, 0.5])
def test_is_equation_2(temperature):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(9, 5))
    labels = np.array([0, 1, 1, 2, 0, 1, 3, 0, 2])  # 3 stands alone
    loss = MODELS.build(dict(SUP_CON, temperature=temperature))
    result = loss(torch.from_numpy(features), torch.from_numpy(labels))
    assert result.item() == pytest.approx(
        reference(features, labels, temperature), rel=1e-12)


def test_gradient():
    torch.manual_seed(0)
    features = torch.randn(6, 4, dtype=torch.double, requires_grad=True)
    labels = torch.tensor([0, 1, 0, 2, 1, 0])
    loss = MODELS.build(SUP_CON)
    assert torch.autograd.gradcheck(loss, (features, labels))


@pytest.mark.parametrize('labels', [[], [3], [0, 1, 2]])
def test_without_a_pair_it_is_a_zero_with_gradient(labels):
    features = torch.randn(len(labels), 4, requires_grad=True)
    loss = MODELS.build(SUP_CON)(features, torch.tensor(labels).long())
    loss.backward()
    assert loss == 0
    assert (features.grad == 0).all()


def test_half_precision_is_computed_in_single():
    features = torch.randn(8, 16)
    labels = torch.arange(8) % 2
    loss = MODELS.build(SUP_CON)
    half = loss(features.half(), labels)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(loss(features, labels).item(), rel=.01)
