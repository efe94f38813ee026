# Copyright (c) mmbombo contributors.
"""MMCV's compiled operator exists on accelerators only."""
import numpy as np
import pytest
import torch
from mmcv.ops import sigmoid_focal_loss
from torch.autograd import gradcheck

TARGET = torch.tensor([0, 2, 3, 1, 3])


@pytest.fixture
def logits(ours):
    ours('focal_loss')
    generator = torch.Generator().manual_seed(0)
    return torch.randn(5, 3, generator=generator, dtype=torch.float64) * 4


def reference(logits, target, gamma, alpha):
    probability = 1 / (1 + np.exp(-logits.numpy()))
    positive = np.arange(logits.shape[1]) == target.numpy()[:, None]
    return np.where(
        positive, -alpha * (1 - probability)**gamma * np.log(probability),
        -(1 - alpha) * probability**gamma * np.log(1 - probability))


@pytest.mark.parametrize('gamma, alpha', [(2., .25), (0., .5), (1.5, .9)])
def test_loss_is_that_of_the_paper(logits, gamma, alpha):
    expected = reference(logits, TARGET, gamma, alpha)
    for dtype, places in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        loss = sigmoid_focal_loss(
            logits.to(dtype), TARGET, gamma, alpha, None, 'none')
        assert loss.dtype == dtype
        np.testing.assert_allclose(loss, expected, atol=places)
    weight = torch.tensor([1., 2., 0., 3.], dtype=torch.float64)
    # a weight of its own for "no class" is what MMCV's assertion forbids
    has_class = TARGET < 3
    loss = sigmoid_focal_loss(logits[has_class], TARGET[has_class], gamma,
                              alpha, weight[:3], 'sum')
    rows = expected[has_class] * weight[TARGET[has_class]][:, None].numpy()
    assert loss.item() == pytest.approx(rows.sum())


def test_far_off_logits_lose_finitely(logits):
    logits = torch.tensor([[200., -200., 0.]], requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([1]), 2., .25, None, 'none')
    np.testing.assert_allclose(loss.detach()[0, :2], [.75 * 200, .25 * 200])
    loss.sum().backward()
    np.testing.assert_allclose(logits.grad[0, :2], [.75, -.25])


@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_derivative(logits, reduction):
    assert gradcheck(
        lambda logits: sigmoid_focal_loss(logits, TARGET, 2., .25, None,
                                          reduction), logits.requires_grad_())
