# Copyright (c) mmbombo contributors.
"""Losses of logits at the size of the image."""
import math

import pytest
import torch
import torch.nn.functional as F

from mmbombo.models.losses import InverseFrequencyCELoss, MaxPixelLoss


def logits_and_ids(images=3, classes=4):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(images, classes, 6, 5, generator=generator)
    ids = torch.randint(0, classes, (images, 6, 5), generator=generator)
    ids[:, 0] = 255
    return logits.requires_grad_(), ids


@pytest.mark.parametrize('weight', [None, [.1, .2, .3, .4]])
def test_is_torchs_weighted_mean_of_each_image(weight):
    logits, ids = logits_and_ids()
    loss = InverseFrequencyCELoss(weight, loss_weight=2.)(logits, ids)
    weight = None if weight is None else torch.tensor(weight)
    expected = [
        F.cross_entropy(x[None], y[None], weight, ignore_index=255)
        for x, y in zip(logits, ids)
    ]
    assert loss.item() == pytest.approx(2 * sum(expected).item() / 3)


@pytest.mark.parametrize('loss', [
    InverseFrequencyCELoss(),
    InverseFrequencyCELoss([0., 1., 1., 1.]),
    MaxPixelLoss()
])
def test_image_without_labels_adds_zero(loss):
    logits, ids = logits_and_ids()
    half = loss(logits, ids)
    both = loss(
        torch.cat([logits, logits]),
        torch.cat([ids, ids.new_full((3, 6, 5), 255)]))
    assert both.item() == pytest.approx(half.item() / 2)
    void = loss(logits, torch.full_like(ids, 255))
    void.backward()
    assert void == 0 and not logits.grad.any()


def test_weights_of_pixels():
    logits, ids = logits_and_ids()
    kept = torch.rand(ids.shape) < .5
    loss = InverseFrequencyCELoss()
    assert torch.allclose(
        loss(logits, ids, weight=kept.float()),
        loss(logits, ids.where(kept, 255)))


def test_only_classes_without_weight():
    logits, ids = logits_and_ids()
    loss = InverseFrequencyCELoss([0., 1., 1., 1.])(logits, ids * 0)
    assert loss == 0


def test_max_pixel_by_hand():
    # probabilities of two pixels
    probs = torch.tensor([[.7, .2, .1], [.1, .6, .3]])
    logits = probs.log().T[None, :, None].requires_grad_()
    loss = MaxPixelLoss()(logits, torch.tensor([[[0, 255]]]))
    expected = -math.log(.7) / 2 - (math.log(.4) + math.log(.7)) / 2 / 2
    assert loss.item() == pytest.approx(expected)
    # only which classes there are counts
    assert loss == MaxPixelLoss()(logits, torch.tensor([[[255, 0]]]))
    loss.backward()
    assert logits.grad[0, :, 0].abs().sum(0).gt(0).all()


def test_max_pixel_is_bounded():
    logits = torch.tensor([[[[1e4]], [[-1e4]]]], requires_grad=True)
    loss = MaxPixelLoss()(logits, torch.ones(1, 1, 1).long())
    assert loss.item() == pytest.approx(-math.log(1e-8))
