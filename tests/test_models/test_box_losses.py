# Copyright (c) mmbombo contributors.
"""Losses on logits from boxes alone, as pure functions and in a model."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from toolbox import SIZE, make_sample, tiny_model

from mmbombo.models.context import StepContext
from mmbombo.models.weak_losses.box_projection_loss import (PaddedBoxes,
                                                            projection_loss)


def rand(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


# -------------------------------------------------------------- projection
def slow_projection(probs, columns, rows):
    """Definition, in loops over images, classes, columns and rows."""
    total = 0.
    for union, axis in ((columns, 0), (rows, 1)):
        losses = []
        for p, u in zip(
                probs.reshape(-1, *probs.shape[2:]),
                union.reshape(-1, *union.shape[2:])):
            if axis == 1:
                p, u = p.T, u.T
            best = [
                max(p[y, x] for y in range(len(p)) if u[y, x])
                for x in range(p.shape[1]) if u[:, x].any()
            ]
            if best:
                best = np.array(best)
                losses.append(1 - 2 * best.sum() /
                              ((best**2).sum() + len(best)))
        total += np.mean(losses) if losses else 0.
    return total


def test_projection_equals_its_definition():
    rng = np.random.default_rng(0)
    for _ in range(20):
        probs = rng.random((2, 3, 7, 5))
        unions = np.zeros((2, 2, 3, 7, 5), bool)
        for union in unions.reshape(-1, 7, 5):
            for _ in range(rng.integers(0, 3)):
                y, x = rng.integers(0, 7), rng.integers(0, 5)
                union[y:y + rng.integers(1, 5), x:x + rng.integers(1, 4)] = 1
        got = projection_loss(
            torch.from_numpy(probs), *torch.from_numpy(unions))
        assert got.item() == pytest.approx(
            slow_projection(probs, *unions), abs=1e-12)


def test_a_cross_projects_like_its_box():
    """What touches all columns and rows of the box costs nothing."""
    union = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    union[..., 1:6, 2:7] = True
    cross = torch.zeros(1, 1, 8, 8)
    cross[..., 3, 2:7] = 1
    cross[..., 1:6, 4] = 1
    assert projection_loss(cross, union, union) == 0
    cross[..., 3, 6] = 0  # a column without a pixel: 1 - 2 * 4 / (4 + 5)
    assert projection_loss(cross, union, union).item() == pytest.approx(1 / 9)
    assert projection_loss(cross, union & False, union & False) == 0


# ---------------------------------------------------------------- in a model


def boxed(boxes, labels, ignored=(), ignored_labels=(), **meta):
    """A sample with these boxes."""

    def instances(boxes, labels):
        return InstanceData(
            bboxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
            labels=torch.tensor(labels, dtype=torch.long))

    sample = make_sample(('bbox', ))
    sample.gt_instances = instances(boxes, labels)
    sample.ignored_instances = instances(ignored, ignored_labels)
    sample.set_metainfo(meta)
    return sample


def context(model, samples):
    inputs = torch.randn(
        len(samples),
        3,
        SIZE,
        SIZE,
        generator=torch.Generator().manual_seed(1))
    return StepContext(model, inputs, samples)


def with_logits(model, samples, logits):
    """A context in which the segmentation head says ``logits``."""
    ctx = context(model, samples)
    ctx._outputs['seg'] = (logits.requires_grad_(), )
    return ctx


PROJECTION = dict(type='BoxProjectionLoss', outside=False)


def loss_and_gradient(samples, **kwargs):
    """Loss, and where the logits have a gradient, ``(n, S, 32, 32)``."""
    logits = torch.randn(
        len(samples), 4, 32, 32, generator=torch.Generator().manual_seed(0))
    model = tiny_model(PROJECTION, **kwargs)
    loss = model.weak_losses[0](with_logits(model, samples,
                                            logits))['loss_projection']
    loss.backward()
    return loss.item(), logits.grad


def test_projection_of_overlapping_and_nested_boxes_of_other_classes():
    """Each class has the value that it has alone."""
    boxes, labels = [[8, 8, 80, 80], [40, 40, 120, 100], [20, 20, 40,
                                                          32]], [0, 1, 2]
    together, _ = loss_and_gradient([boxed(boxes, labels)])
    alone = [
        loss_and_gradient([boxed([box], [label])])[0]
        for box, label in zip(boxes, labels)
    ]
    assert together == pytest.approx(np.mean(alone), rel=1e-5)
    assert len(set(alone)) == 3


def test_projection_is_on_the_grid_of_the_logits():
    box = [8.5, 8, 80, 81.9]  # cells of 4 pixels whose center is inside
    loss, _ = loss_and_gradient([boxed([box], [1])])
    logits = torch.randn(
        1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    union = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    union[..., 2:20, 2:20] = True
    expected = projection_loss(logits.softmax(1)[:, 2:3], union, union)
    assert loss == pytest.approx(expected.item(), rel=1e-5)


def test_projection_of_boxes_cut_by_the_border():
    """Cut at the side: rows are not certain. Cut below: columns are not."""
    samples = [
        boxed([[60, 20, 128, 60]], [0]),
        boxed([[20, 60, 60, 128]], [0]),
        boxed([[60, 20, 128, 60]], [0]),
        boxed([[60, 20, 100, 60]], [0], img_shape=(128, 100)),
        boxed([[60, 60, 128, 128]], [0])
    ]
    table = PaddedBoxes.from_samples(samples, tiny_model().class_map)
    assert table.cut_across[:, 0].tolist() == [True, False, True, True, True]
    assert table.cut_along[:, 0].tolist() == [False, True, False, False, True]
    _, grad = loss_and_gradient(samples[:1])
    # one maximum in each of the 17 columns, none in the rows
    assert (grad[0, 1] != 0).sum() == 17
    assert ((grad[0, 1] != 0).sum(dim=0)[15:] == 1).all()
    _, grad = loss_and_gradient(samples[1:2])
    assert ((grad[0, 1] != 0).sum(dim=1)[15:] == 1).all()
    assert loss_and_gradient(samples[4:])[0] == 0


def test_difficult_boxes_say_nothing():
    box, other = [8, 8, 80, 80], [60, 60, 110, 110]
    certain, _ = loss_and_gradient([boxed([box], [0])])
    both, _ = loss_and_gradient([boxed([box], [0], [other], [1])])
    assert certain == pytest.approx(both) and certain > 0
    loss, grad = loss_and_gradient([boxed([], [], [other], [1])])
    assert loss == 0 and (grad == 0).all()


def test_left_out_categories_say_nothing():
    box, other = [8, 8, 80, 80], [60, 60, 110, 110]
    sample = boxed([box], [0])
    sample.unlisted_instances = InstanceData(
        bboxes=torch.tensor([other]).float(), labels=torch.tensor([-1]))
    got, _ = loss_and_gradient([sample, boxed([], [])])
    alone, _ = loss_and_gradient([boxed([box], [0]), boxed([], [])])
    assert got == pytest.approx(alone)
    # but nobody knows what is there
    ctx = context(tiny_model(dict(type='BoxProjectionLoss')), [sample])
    mask = torch.zeros(1, 1, SIZE, SIZE).long()
    mask[..., 8:80, 8:80] = mask[..., 60:110, 60:110] = 255
    torch.testing.assert_close(ctx.model.weak_losses[0](ctx)['loss_ce'],
                               ctx.loss('seg', mask, [0])['loss_ce'])


def test_class_that_no_mask_shows_is_not_projected():
    classes = dict(
        det_classes=('cat', 'dog', 'cow'),
        seg_classes=('background', 'cat', 'dog', 'sky'))
    loss, grad = loss_and_gradient([boxed([[8, 8, 80, 80]], [2])],
                                   class_map=classes)
    assert loss == 0 and (grad == 0).all()


def test_class_shown_by_either_of_two_ids():
    classes = dict(
        det_classes=('cat', 'dog', 'cow'),
        seg_classes=('background', 'cat', 'dog', 'mammal'),
        det_to_seg=dict(cow=('dog', 'mammal')))
    model = tiny_model(PROJECTION, class_map=classes)
    logits = torch.full((1, 4, 32, 32), -20.)
    logits[:, 2, :16], logits[:, 3, 16:] = 20., 20.
    losses = model.weak_losses[0](
        with_logits(model, [boxed([[8, 8, 120, 120]], [2])], logits))
    assert losses['loss_projection'].item() == pytest.approx(0, abs=1e-6)


def test_outside_all_boxes_is_background():
    """The head's own loss on the certain pixels: no box, no padding."""
    model = tiny_model(dict(type='BoxProjectionLoss'))
    sample = boxed([[8, 8, 80, 80]], [0], [[90, 90, 120, 120]], [1],
                   img_shape=(128, 124))
    ctx = context(model, [sample])
    losses = model.weak_losses[0](ctx)
    mask = torch.zeros(1, 1, SIZE, SIZE).long()
    mask[..., 8:80, 8:80] = 255
    mask[..., 90:120, 90:120] = 255
    mask[..., 124:] = 255
    torch.testing.assert_close(losses['loss_ce'],
                               ctx.loss('seg', mask, [0])['loss_ce'])
    assert losses['loss_ce'] > 0
    stuff = dict(
        det_classes=('cat', 'dog', 'cow'),
        seg_classes=('background', 'cat', 'dog', 'sky'))
    model = tiny_model(dict(type='BoxProjectionLoss'), class_map=stuff)
    # a sky needs no box: it may be anywhere outside
    ctx = context(model, [sample])
    losses = model.weak_losses[0](ctx)
    probs = F.interpolate(
        ctx.outputs('seg', [0])[0], mask.shape[-2:],
        mode='bilinear').softmax(dim=1)
    wanted = -(probs[:, 0] + probs[:, 3]).log()[mask[:, 0] == 0].mean()
    torch.testing.assert_close(losses['loss_ce'], wanted)


def test_objects_without_a_box_may_be_outside():
    """Of a class whose boxes are said to be incomplete, in that image."""
    model = tiny_model(dict(type='BoxProjectionLoss'))
    samples = [boxed([[8, 8, 80, 80]], [0]), boxed([[8, 8, 80, 80]], [0])]
    samples[1].set_metainfo(dict(incomplete_labels=[2]))
    ctx = context(model, samples)
    probs = F.interpolate(
        ctx.outputs('seg', [0, 1])[0], (SIZE, SIZE),
        mode='bilinear').softmax(dim=1)
    outside = torch.ones(SIZE, SIZE, dtype=torch.bool)
    outside[8:80, 8:80] = False
    wanted = -torch.stack([probs[0, 0], probs[1, 0] + probs[1, 3]
                           ])[:, outside].log().mean()
    torch.testing.assert_close(model.weak_losses[0](ctx)['loss_ce'], wanted)
