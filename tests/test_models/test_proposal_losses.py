# Copyright (c) mmbombo contributors.
"""Losses of proposals, against NumPy."""
import numpy as np
import pytest
import torch

from mmbombo.models.losses.proposal_losses import (ProposalSaliencyLoss,
                                                   SeedLoss, mil_image_loss,
                                                   spatial_regularizer)


def logits(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.double)


def softmax(x, axis):
    x = np.exp(x)
    return x / x.sum(axis, keepdims=True)


def test_mil_image_loss():
    scores = torch.tensor([[.9, .2, .5], [0., 1., .3]], dtype=torch.double)
    labels = torch.tensor([[1, 0, -1], [0, 1, 1]])
    # -log(t (y - 1/2) + 1/2) with t = +-1
    wanted = [-np.log(.9) - np.log(.8), -np.log(.3)]
    np.testing.assert_allclose(
        mil_image_loss(scores, labels), wanted, atol=1e-5)
    wrong = mil_image_loss(1. - scores, labels)
    assert wrong.isfinite().all() and wrong[1] > 20


def test_spatial_regularizer():
    feats = logits(5, 4)
    boxes = torch.tensor([[0., 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 7],
                          [0, 0, 5, 5], [50, 50, 60, 60]])
    scores = torch.tensor([[.5, .1], [.2, .1], [.1, .1], [.1, .1], [.1, .6]])
    present = torch.tensor([True, False])
    wanted = .5 * sum(
        ((scores[j, 0] * (feats[j] - feats[0]))**2).sum() for j in (1, 2))
    loss = spatial_regularizer(feats, boxes, scores, present)
    torch.testing.assert_close(loss, wanted)
    # the last one has no neighbor, the next two best do not count
    assert spatial_regularizer(feats, boxes, scores, ~present) == 0
    assert spatial_regularizer(
        feats, boxes, scores, present, neighbors=1) < wanted
    for nothing in (spatial_regularizer(feats, boxes, scores, present & False),
                    spatial_regularizer(feats[:1], boxes[:1], scores[:1],
                                        present)):
        assert nothing == 0


def test_seed_loss():
    cls, det = logits(4, 3), logits(4, 3, seed=1)
    assigned = torch.tensor([[1, 0, 0], [1, 0, -1], [-1, 0, 1], [0, 0, 0]])
    by_class, by_place = softmax(cls.numpy(), 1), softmax(det.numpy(), 0)
    semantic = -np.log([by_class[0, 0], by_class[1, 0], by_class[2, 2]])
    location = -np.log([by_place[:2, 0].sum(), by_place[2, 2]])
    wanted = .5 * (semantic.mean() + 2 * location.mean())
    loss = SeedLoss(loss_weight=.5, loc_weight=2.)
    torch.testing.assert_close(loss(cls, det, assigned).item(), wanted.item())


def test_saliency_loss():
    values, salient = logits(5), torch.tensor([1, 0, -1, 1, -1])
    p = 1 / (1 + np.exp(-values.numpy()))
    wanted = -np.log([p[0], 1 - p[1], p[3]]).mean()
    loss = ProposalSaliencyLoss(loss_weight=3.)(values, salient)
    torch.testing.assert_close(loss.item(), 3 * wanted.item())


@pytest.mark.parametrize('number', [0, 1, 4])
def test_nothing_to_learn(number):
    cls, det, saliency = (
        logits(*shape).requires_grad_()
        for shape in ((number, 3), (number, 3), (number, )))
    loss = SeedLoss()(cls, det, torch.zeros(number, 3) - 1)
    loss = loss + ProposalSaliencyLoss()(saliency, torch.zeros(number) - 1)
    assert loss == 0
    loss.backward()
    for x in (cls, det, saliency):
        assert x.grad is not None and (x.grad == 0).all()


def test_gradients():
    cls, det = (logits(4, 3, seed=i).requires_grad_() for i in range(2))
    labels = torch.tensor([[1, 0, -1]])
    boxes = torch.tensor([[0., 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 8],
                          [5, 5, 20, 20]])
    assigned = torch.tensor([[1, 0, 0], [1, 0, -1], [-1, 0, 1], [0, 0, 0]])
    salient = torch.tensor([1, 0, -1, 1])

    def losses(cls, det):
        scores = cls.softmax(1) * det.softmax(0)
        yield mil_image_loss(scores.sum(0)[None], labels)
        yield SeedLoss()(cls, det, assigned)
        yield ProposalSaliencyLoss()(cls[:, 0], salient)
        yield spatial_regularizer(det, boxes, scores, labels[0] > 0)

    def smooth(cls, det):
        *others, _ = losses(cls, det)
        return sum(others)

    assert torch.autograd.gradcheck(smooth, (cls, det))
    # its weights have no gradient
    fixed = cls.detach().softmax(1)
    assert torch.autograd.gradcheck(
        lambda x: spatial_regularizer(x, boxes, fixed, labels[0] > 0), det)
