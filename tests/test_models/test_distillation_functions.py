# Copyright (c) mmbombo contributors.
"""The formulas, against hand-computed values and slow NumPy."""
import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from mmbombo.models.losses.dist_mean import weighted_mean
from mmbombo.models.losses.distillation import (binary_kl, defeat_loss,
                                                feature_distance,
                                                pdf_score_loss,
                                                segmentation_kl,
                                                soft_offset_loss,
                                                soft_score_loss,
                                                temperature_kl)
from mmbombo.models.weak_losses.distillation.feature_distillation import \
    cells_in_boxes


def logit(p):
    return math.log(p / (1 - p))


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(
        *shape, generator=generator, dtype=torch.float64, requires_grad=True)


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_soft_scores_by_hand():
    # q = 0.5, p = 0.2: side .25*.5 + .75*.5 = .5, disagreement .5,
    # KL = .5 ln(.5/.2) + .5 ln(.5/.8) = .2231436
    found = soft_score_loss(numbers(logit(.2)), numbers(0.))
    assert float(found) == pytest.approx(.25 * .22314355, rel=1e-6)
    # q = 0.9, p = 0.1: side .3, disagreement .9*.9 + .1*.1 = .82, KL = .8 ln 9
    found = soft_score_loss(numbers(logit(.1)), numbers(logit(.9)))
    assert float(found) == pytest.approx(.3 * .82 * .8 * math.log(9), rel=1e-6)
    # with gamma 2 the disagreement counts twice
    found = soft_score_loss(numbers(logit(.1)), numbers(logit(.9)), gamma=2.)
    assert float(found) == pytest.approx(
        .3 * .82**2 * .8 * math.log(9), rel=1e-6)


def test_saturated_scores_are_finite():
    student = torch.tensor([-90., 90., 0.], requires_grad=True)
    loss = soft_score_loss(student, torch.tensor([90., -90., 200.])).sum()
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(student.grad).all()


@pytest.mark.parametrize('difference, wanted',
                         [(.05, .091197), (.1099, .188423), (.1101, .188744),
                          (.5, .773594), (1., 1.523594)])
def test_offsets_have_the_published_values(difference, wanted):
    for sign in (-1, 1):
        found = soft_offset_loss(numbers(2. + sign * difference), numbers(2.))
        assert float(found) == pytest.approx(wanted, abs=1e-6)


def test_teacher_gets_no_gradient():
    student, teacher = random(2, 3, 2, 4, seed=1), random(2, 3, 2, 4, seed=2)
    valid = torch.ones(2, 8, dtype=torch.bool)
    distance = feature_distance([student], [teacher])
    total = (
        soft_score_loss(student, teacher).sum() +
        soft_offset_loss(student, teacher).sum() +
        temperature_kl(student, teacher).sum() +
        pdf_score_loss(student, teacher, valid[:, :3]) +
        segmentation_kl(student, teacher,
                        torch.ones(2, 2, 4).bool()) +
        weighted_mean(distance, valid))
    total.backward()
    assert teacher.grad is None and student.grad.abs().max() > 0


def test_nothing_to_count_is_zero():
    student = random(1, 2, 1, 3).detach().float().requires_grad_()
    low = torch.full((1, 2, 1, 3), -20.)
    none = torch.zeros(1, 2, dtype=torch.bool)
    distance = student.square().sum(dim=(2, 3))
    losses = [
        *defeat_loss(distance, none, ~none),
        weighted_mean(distance, none),
        weighted_mean(distance,
                      torch.zeros(1, 2) * ~none),
        pdf_score_loss(student, low, ~none),
        segmentation_kl(student, low,
                        torch.zeros(1, 1, 3).bool())
    ]
    # as an AMP scaler does
    (1e6 * sum(losses)).backward()
    assert torch.isfinite(student.grad).all()
    zero = [loss.item() for i, loss in enumerate(losses) if i not in (1, 4)]
    assert zero == [0.] * 4


def test_cells_in_boxes():
    # cells of 8 pixels: centers 4, 12, 20, 28 and rows 4, 12
    boxes = torch.tensor([[[4., 0., 13., 5.], [0., 0., 0., 0.]],
                          [[20., 11., 29., 13.], [0., 0., 3., 16.]]])
    found = cells_in_boxes(boxes, (2, 4), (16, 32))
    np.testing.assert_array_equal(
        found, [[[1, 1, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 0], [0, 0, 1, 1]]])


def test_reference_cells_of_the_paper():
    # 320 pixels, strides 8 to 64: the figure of the released code
    box = torch.tensor([[[128., 128., 288., 288.]]])
    sizes = [40, 20, 10, 5]
    found = [cells_in_boxes(box, (s, s), (320, 320)) for s in sizes]
    assert sum(x.numel() for x in found) == 2125
    assert sum(int(x.sum()) for x in found) == 534


def test_segmentation_kl_of_one_channel_is_that_of_two():
    student, teacher = random(2, 1, 3, 3, seed=1), random(2, 1, 3, 3, seed=2)
    valid = torch.ones(2, 3, 3, dtype=torch.bool)
    valid[0, 1] = False
    wanted = np.mean([
        float(x) for x, v in zip(
            binary_kl(student, teacher).flatten(), valid.flatten()) if v
    ])
    assert float(segmentation_kl(student, teacher,
                                 valid)) == pytest.approx(wanted)


def test_temperature_kl_by_hand():
    # teacher (ln 3, 0) = (.75, .25), student (0, 0) = (.5, .5)
    wanted = .75 * math.log(1.5) + .25 * math.log(.5)
    student, teacher = numbers(0., 0.), numbers(math.log(3), 0.)
    assert float(temperature_kl(student, teacher,
                                dim=0)) == pytest.approx(wanted)
    # logits of twice the size at temperature 2: the same, times 4
    found = temperature_kl(student, 2 * teacher, temperature=2., dim=0)
    assert float(found) == pytest.approx(4 * wanted)


def test_gradients():
    teacher, student = random(4, 5, seed=3).detach(), random(4, 5, seed=4)
    assert gradcheck(lambda x: soft_score_loss(x, teacher), student)
    assert gradcheck(lambda x: soft_offset_loss(x, teacher), student)
    assert gradcheck(lambda x: temperature_kl(x, teacher, 2.), student)
    valid = torch.tensor([[1, 1, 0], [1, 0, 1]]).bool()
    scores, targets = random(2, 3, 2, 4, seed=5), random(2, 3, 2, 4).detach()
    assert gradcheck(lambda x: pdf_score_loss(x, targets, valid), scores)
    features, wanted = random(2, 3, 1, 3, seed=6), random(2, 3, 1, 3).detach()

    def of_features(x):
        distance = feature_distance([x], [wanted])
        return (weighted_mean(distance, valid),
                *defeat_loss(distance,
                             distance.detach() > 1, valid))

    assert gradcheck(of_features, features)
    logits, maps = random(2, 3, 4, 4, seed=7), random(2, 3, 2, 2).detach()
    inside = torch.rand(
        2, 4, 4, generator=torch.Generator().manual_seed(0)) > .3
    assert gradcheck(lambda x: segmentation_kl(x, maps, inside, 3.), logits)
