# Copyright (c) mmbombo contributors.
"""On which images which heads run for a weak loss, and since when."""
import pytest
import torch
from toolbox import (CLASSES, SEG_CLASSES, SIZE, make_sample, tiny_model,
                     tiny_model_cfg)
from torch import nn

from mmbombo.models.context import StepContext
from mmbombo.models.weak_losses import BaseWeakLoss
from mmbombo.registry import MODELS
from mmbombo.utils import UserError

KINDS = [('bbox', ), ('sem_seg', ), (), ('bbox', 'sem_seg'), ()]


class UnannotatedLoss(BaseWeakLoss):
    """Teaches segmentation what the detector says of the same images."""

    name, task, source_kind = 'both', 'seg', None

    def images(self, ctx):
        return [i for i, x in enumerate(ctx.samples) if not x.annotation_kinds]

    def head_images(self, ctx):
        images = self.images(ctx)
        return dict(seg=images, det=images)

    def loss(self, ctx, images):
        seen = ctx.outputs('det', images)[0][0].sigmoid().mean()
        return dict(
            loss_product=ctx.logits('seg', images).mean() * seen,
            seen=seen.detach())


class ForgetsTheDetector(UnannotatedLoss):

    def head_images(self, ctx):
        return dict(seg=self.images(ctx))


class LearnedLoss(BaseWeakLoss):
    """Has a parameter of its own."""

    name, task, source_kind = 'late', 'seg', 'bbox'

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.factor = nn.Parameter(torch.tensor(3.))

    def loss(self, ctx, images):
        return dict(
            loss_factor=self.factor,
            loss_parts=[self.factor, 2 * self.factor],
            num_images=torch.tensor(float(len(images))))


class PlainLoss(BaseWeakLoss):
    """The same images without a parameter."""

    name, task, source_kind = 'late', 'seg', 'bbox'

    def loss(self, ctx, images):
        return dict(loss_seg=ctx.logits('seg', images).square().mean())


def batch(kinds=KINDS):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(len(kinds), 3, SIZE, SIZE, generator=generator)
    return inputs, [make_sample(k, seed=i) for i, k in enumerate(kinds)]


def images_of_heads(model):
    """Numbers of images on which each head is run."""
    runs = []
    for name, head in model.task_heads.items():
        head.register_forward_hook(
            lambda module, args, out, name=name: runs.append(
                (name, len(args[0][0]))))
    return runs


def test_a_loss_may_ask_several_heads_of_the_same_images():
    model = tiny_model(dict(type=UnannotatedLoss, loss_weight=2.))
    runs = images_of_heads(model)
    inputs, samples = batch()
    losses = model.loss(inputs, samples)
    assert StepContext(model, inputs, samples).plan == dict(
        det=[0, 2, 3, 4], seg=[1, 2, 3, 4])
    assert runs == [('det', 4), ('seg', 4)]

    feats = model.extract_feat(inputs[[2, 4]])
    seen = model.task_heads.det(feats)[0][0].sigmoid().mean()
    wanted = model.task_heads.seg(feats)[0].mean() * seen
    torch.testing.assert_close(losses['both/seen'], seen)
    torch.testing.assert_close(losses['both/loss_product'], 2 * wanted)


def test_a_head_that_was_not_asked_for_says_so():
    model = tiny_model(dict(type=ForgetsTheDetector))
    with pytest.raises(UserError, match=r"'det' .*\[2, 4\].*head_images"):
        model.loss(*batch())


def test_supervised_losses_do_not_see_the_other_images():
    inputs, samples = batch()
    naive = tiny_model().loss(inputs, samples)
    losses = tiny_model(dict(type=UnannotatedLoss)).loss(inputs, samples)
    for key, value in naive.items():
        torch.testing.assert_close(losses[key], value)


def test_before_its_start_a_loss_is_not_there(progress):
    model = tiny_model(dict(type=PlainLoss, start=.5))
    runs = images_of_heads(model)
    progress(49)
    assert not [key for key in model.loss(*batch()) if key.startswith('late')]
    assert runs == [('det', 2), ('seg', 2)]
    runs.clear()
    progress(50)
    assert 'late/loss_seg' in model.loss(*batch())
    assert runs == [('det', 2), ('seg', 3)]


@pytest.mark.parametrize('done, started', [(49, False), (50, True)])
def test_parameters_of_a_loss_are_touched_before_its_start(
        progress, done, started):
    model = tiny_model(dict(type=LearnedLoss, start=.5))
    progress(done)
    losses = {
        key: value
        for key, value in model.loss(*batch()).items()
        if key.startswith('late')
    }
    assert ('late/loss_no_images' in losses) != started
    loss, _ = model.parse_losses(losses)
    loss.backward()
    assert model.weak_losses[0].factor.grad == (4 if started else 0)


@pytest.mark.parametrize('start, ramp, done, weight', [
    (0., 0., 0, 1.),
    (0., .4, 0, 0.),
    (0., .4, 10, .25),
    (.5, 0., 50, 1.),
    (.5, .4, 50, 0.),
    (.5, .4, 60, .25),
    (.5, .4, 90, 1.),
    (.5, .4, 100, 1.),
])
def test_a_weight_grows_from_the_start_on(progress, start, ramp, done, weight):
    model = tiny_model(
        dict(type=LearnedLoss, start=start, ramp=ramp, loss_weight=2.))
    progress(done)
    losses = model.loss(*batch())
    factor = torch.tensor(3.)
    torch.testing.assert_close(losses['late/loss_factor'].detach(),
                               2 * weight * factor)
    for part, wanted in zip(losses['late/loss_parts'], (factor, 2 * factor)):
        torch.testing.assert_close(part.detach(), 2 * weight * wanted)
    assert losses['late/num_images'] == 1  # no weight: it is no loss


@pytest.mark.parametrize('bad', [
    dict(start=-.1), dict(start=1.1), dict(ramp=-.1), dict(loss_weight=-1.),
    dict(loss_weight=float('nan')), dict(loss_weight=float('inf'))])
def test_weights_and_shares_are_checked(bad):
    with pytest.raises(ValueError, match='PlainLoss: loss_weight='):
        PlainLoss(**bad)


@pytest.mark.parametrize('weak_loss, needs', [
    (dict(type='MaskForBoxLoss'), True),
    (dict(type='BoxProjectionLoss'), True),
    # the mask is made in the pipeline
    (dict(type='BoxForMaskLoss'), False),
    (dict(type=PlainLoss), False),
])
def test_a_class_map_is_asked_for_where_it_is_read(weak_loss, needs):
    classes = dict(det=CLASSES, seg=SEG_CLASSES)
    tiny_model(weak_loss, classes=classes, class_map=dict())
    if not needs:
        assert tiny_model(weak_loss, classes=classes, class_map=None)
        return
    with pytest.raises(
            ValueError, match=rf"{weak_loss['type']} .*give the model a"):
        tiny_model(weak_loss, classes=classes, class_map=None)


def test_a_weak_loss_for_a_task_that_the_model_lacks():
    cfg = tiny_model_cfg(weak_losses=[dict(type=PlainLoss)])
    del cfg['task_heads']['seg']
    with pytest.raises(
            ValueError, match=r"supervises the task 'seg'.*only \['det'\]"):
        MODELS.build(cfg)


def test_an_exact_zero_where_no_image_needs_the_loss():
    model = tiny_model(dict(type=LearnedLoss))
    losses = model.loss(*batch([('sem_seg', )]))
    assert losses['late/loss_no_images'] == 0
    assert 'late/loss_factor' not in losses
