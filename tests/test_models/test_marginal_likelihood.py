# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmbombo.models.losses.marginal_likelihood import marginal_nll
from mmbombo.structures.candidate_map import CandidateMap


def case(num_classes=7, num_sets=5, dtype=torch.float64, scale=3., seed=0):
    """Logits of two images and sets, of which the first is one class."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(
        2, num_classes, 4, 5, generator=generator, dtype=dtype) * scale
    classes = torch.rand(
        2, num_sets, num_classes, generator=generator) < .4
    classes[:, 0] = torch.arange(num_classes) == 1
    classes[..., 1:, 0] = True
    numbers = torch.randint(0, num_sets, (2, 1, 4, 5), generator=generator)
    numbers[:, :, 0, :2] = 255
    return logits, CandidateMap(numbers, classes)


def reference(logits, candidates):
    """Pixel by pixel, in NumPy."""
    logits = logits.double().numpy()
    wanted = np.zeros((len(logits), *logits.shape[2:]))
    for n, y, x in np.ndindex(*wanted.shape):
        number = candidates.numbers[n, 0, y, x].item()
        if number == 255:
            continue
        odds = np.exp(logits[n, :, y, x] - logits[n, :, y, x].max())
        inside = candidates.classes[n, number].numpy()
        wanted[n, y, x] = -np.log(odds[inside].sum() / odds.sum())
    return wanted


@pytest.mark.parametrize('num_classes, num_sets', [(7, 5), (81, 12), (2, 2)])
def test_against_a_sum_pixel_by_pixel(num_classes, num_sets):
    logits, candidates = case(num_classes, num_sets)
    np.testing.assert_allclose(
        marginal_nll(logits, candidates), reference(logits, candidates),
        rtol=1e-10,
        atol=1e-15)


def test_gradient():
    logits, candidates = case()
    torch.autograd.gradcheck(lambda x: marginal_nll(x, candidates),
                             logits.requires_grad_())


def test_sets_of_one_class_are_a_cross_entropy():
    logits, candidates = case(dtype=torch.float32)
    candidates = candidates._replace(
        classes=torch.eye(7).bool().expand(2, -1, -1))
    logits.requires_grad_()
    labels = candidates.numbers[:, 0]
    weight = torch.rand(labels.shape)
    losses = (marginal_nll(logits, candidates),
              F.cross_entropy(
                  logits, labels, ignore_index=255, reduction='none'))
    torch.testing.assert_close(*losses, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        *(torch.autograd.grad((loss * weight).sum(), logits)[0]
          for loss in losses), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('gap', [50, 200, 3e4])
def test_what_a_network_excludes_is_taught_nevertheless(dtype, gap):
    """The right classes are e^-gap as likely as the wrong one."""
    logits = torch.zeros(1, 4, 1, 2, dtype=dtype)
    logits[:, 0] = gap
    candidates = CandidateMap(
        torch.tensor([[[[0, 1]]]]),
        torch.tensor([[[0, 1, 1, 0], [0, 0, 0, 1]]]).bool())
    logits.requires_grad_()
    loss = marginal_nll(logits, candidates)
    loss.sum().backward()
    assert loss.dtype == torch.float32 and torch.isfinite(loss).all()
    assert (loss > min(gap, 69) - 1).all()
    wanted = torch.tensor([[1., 1.], [-.5, 0], [-.5, 0], [0, -1]])
    torch.testing.assert_close(logits.grad[0, :, 0].float(), wanted)


def test_a_certain_network_learns_nothing():
    logits = torch.tensor([200., 200, 0, 0]).view(1, 4, 1, 1).requires_grad_()
    candidates = CandidateMap(
        torch.zeros(1, 1, 1, 1).long(),
        torch.tensor([[[1, 1, 0, 0]]]).bool())
    loss = marginal_nll(logits, candidates)
    loss.backward()
    assert loss.abs().item() < 1e-6 and logits.grad.abs().max() < 1e-6


def test_an_image_without_a_set_in_a_batch_with_some():
    logits, candidates = case(dtype=torch.float32)
    candidates.classes[1] = False
    candidates.numbers[1] = 255
    logits.requires_grad_()
    loss = marginal_nll(logits, candidates)
    loss.sum().backward()
    assert (loss[1] == 0).all() and (logits.grad[1] == 0).all()
    assert torch.isfinite(logits.grad).all()


def test_under_autocast():
    logits, candidates = case(dtype=torch.float32)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = marginal_nll(logits, candidates)
    torch.testing.assert_close(loss, marginal_nll(logits, candidates))
