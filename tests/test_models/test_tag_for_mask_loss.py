# Copyright (c) mmbombo contributors.
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import LabelData, PixelData
from toolbox import CLASSES, SEG_CLASSES, make_sample, tiny_model_cfg

from mmbombo.models.context import StepContext
from mmbombo.models.weak_losses.tag_for_mask_loss import candidates_of_tags
from mmbombo.registry import MODELS
from mmbombo.structures import ClassMap
from mmbombo.utils import UserError

SIDE = 64
#: A CRF that leaves every pixel alone.
NO_CRF = dict(
    gaussian_sxy=1,
    gaussian_compat=0,
    bilateral_sxy=1,
    bilateral_srgb=1,
    bilateral_compat=0,
    iterations=1)


def model_of_tags(tags=CLASSES, seg=SEG_CLASSES, **kwargs):
    torch.manual_seed(0)
    loss = dict(type='TagForMaskLoss', crf=NO_CRF)
    loss.update(kwargs)
    cfg = tiny_model_cfg(
        weak_losses=[loss], class_map=None, classes=dict(cls=tags, seg=seg))
    cfg['task_heads'].pop('det')
    cfg['task_heads']['seg']['head']['num_classes'] = len(seg)
    cfg['task_heads']['cls'] = dict(
        type='ClsTaskHead',
        num_classes=len(tags),
        in_channels=16,
        in_index=0,
        bias=False)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def tagged(labels, shape=(SIDE, SIDE)):
    sample = make_sample((), size=SIDE)
    sample.set_metainfo(
        dict(annotation_kinds=('image_label', ), img_shape=shape))
    labels = torch.tensor(labels).to(torch.int8)
    sample.gt_image_label = LabelData(label=labels)
    return sample


def context(model, *samples):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(len(samples), 3, SIDE, SIDE, generator=generator)
    return StepContext(model, inputs, list(samples))


def say(ctx, maps):
    """Let the classifier have said these maps ``(n, C, h, w)``."""
    ctx._outputs['cls'] = maps.mean((2, 3)), maps


def blobs(*classes):
    """One map per class; those named are active in a corner each."""
    maps = torch.zeros(1, 3, SIDE, SIDE)
    for corner, c in enumerate(classes):
        column = slice(0, 16) if corner == 0 else slice(48, 64)
        rows = torch.linspace(.2, 1, 16)[:, None].expand(16, 16)
        maps[0, c, :16, column] = rows
    return maps


def test_pseudo_masks_name_the_tags():
    model = model_of_tags()
    ctx = context(model, tagged([0, 1, 1]))
    # class 0 is absent, however active its map
    say(ctx, blobs(1, 2) + 5 * blobs(0))
    mask = model.weak_losses[0].pseudo_masks(ctx, [0]).numbers[0, 0]
    assert set(mask[:16, :16].unique().tolist()) == {2, 255}
    assert set(mask[:16, 48:].unique().tolist()) == {3, 255}
    assert mask[20:].unique().tolist() == [0]
    assert (mask[15, :16] == 2).all() and (mask[0, :16] == 255).all()


def test_each_side_is_a_mean_of_its_own():
    model = model_of_tags()
    ctx = context(model, tagged([0, 1, 0]))
    say(ctx, blobs(1))
    loss = model.weak_losses[0]
    losses = loss(ctx)
    labels = ctx.pseudo_labels['seg'][0]
    logits = F.interpolate(
        ctx.logits('seg', [0]), (SIDE, SIDE), mode='bilinear')
    nll = F.cross_entropy(logits, labels.clamp(max=3), reduction='none')
    wanted = nll[labels == 0].mean() + nll[labels == 2].mean()
    torch.testing.assert_close(losses['loss_ce'], wanted)
    assert losses['labeled'] == (labels != 255).float().mean()


@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('labels', [[0, 0, 0], [1, 1, 1], [-1, -1, -1]])
def test_nothing_is_nan_when_a_part_is_empty(labels, autocast):
    model = model_of_tags(scales=(1, .5), crf='rrm_label')
    samples = [tagged(labels), tagged([0, 0, 0], shape=(1, 40))]
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        losses = model.loss(torch.randn(2, 3, SIDE, SIDE), samples)
    total, _ = model.parse_losses(losses)
    total.backward()
    assert total.isfinite() and losses['t4m/loss_ce'].isfinite()
    for parameter in model.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()


def test_no_label_no_loss():
    model = model_of_tags()
    ctx = context(model, tagged([1, 0, 0]))
    say(ctx, torch.full((1, 3, SIDE, SIDE), .5))  # no pixel is above others
    losses = model.weak_losses[0](ctx)
    assert losses['loss_ce'] == 0 and losses['labeled'] == 0
    losses['loss_ce'].backward()


def test_an_image_without_tags_shows_no_class():
    model = model_of_tags()
    ctx = context(model, tagged([0, 0, 0]))
    say(ctx, blobs(0, 1))
    assert not model.weak_losses[0].pseudo_masks(ctx, [0]).numbers.any()


def test_the_pixels_of_an_unknown_tag_are_left_out():
    model = model_of_tags()
    ctx = context(model, tagged([0, -1, 1]))
    say(ctx, blobs(1, 2))
    mask = model.weak_losses[0].pseudo_masks(ctx, [0]).numbers[0, 0]
    assert (mask[:16, :16] == 255).all()
    assert 3 in mask[:16, 48:] and (mask[20:] == 0).all()


def test_padding_and_masks_and_pseudo_masks_are_left_alone():
    model = model_of_tags()
    boxed = tagged([1, 0, 0])
    boxed.pseudo_sem_seg = PixelData(sem_seg=torch.zeros(1, SIDE, SIDE))
    masked = make_sample(('sem_seg', 'image_label'), size=SIDE)
    ctx = context(model, boxed, masked, tagged([1, 0, 0], shape=(40, 50)))
    loss = model.weak_losses[0]
    assert loss.images(ctx) == [2]
    assert ctx.plan == dict(seg=[1, 2], cls=[0, 1, 2])
    mask = loss.pseudo_masks(ctx, [2]).numbers[0, 0]
    assert (mask[40:] == 255).all() and (mask[:, 50:] == 255).all()
    assert (mask[:40, :50] != 255).any()


def test_maps_of_all_scales_are_averaged():
    model = model_of_tags(scales=(1, .5))
    ctx = context(model, tagged([1, 1, 1]))
    full, half = model.weak_losses[0]._maps(ctx, [0])
    assert full is ctx.outputs('cls', [0])[1]
    inputs = F.interpolate(ctx.inputs, scale_factor=.5, mode='bilinear')
    model.eval()
    wanted = model.task_heads.cls(model.extract_feat(inputs))[1]
    torch.testing.assert_close(half, wanted, rtol=1e-3, atol=1e-4)


def test_what_no_tag_is_about_is_left_possible():
    table = candidates_of_tags(('cat', 'bus', 'dog'),
                               ('sky', 'cat', 'ground', 'dog'))
    assert table.int().tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0],
                                    [0, 0, 0, 1]]


def test_a_tag_that_is_no_class_leaves_its_pixels_out():
    model = model_of_tags(tags=('bus', 'cat'), seg=('sky', 'cat', 'ground'))
    ctx = context(model, tagged([1, 1]))
    say(ctx, blobs(0, 1)[:, :2])
    losses = model.weak_losses[0](ctx)
    numbers = model.weak_losses[0].pseudo_masks(ctx, [0]).numbers
    assert (numbers[0, 0, :16, :16] == 255).all()
    labels = ctx.pseudo_labels['seg'][0][0]
    assert set(labels.unique().tolist()) == {1, 255}
    logits = F.interpolate(
        ctx.logits('seg', [0]), (SIDE, SIDE), mode='bilinear')
    probs = logits.softmax(1)[0]
    wanted = -(probs[0] + probs[2])[numbers[0, 0] == 0].log().mean()
    wanted = wanted - probs[1][numbers[0, 0] == 2].log().mean()
    torch.testing.assert_close(losses['loss_ce'], wanted)


def test_mistakes_are_said_when_the_model_is_built():
    with pytest.raises(UserError, match='no tag .* is a class of the segmen'):
        model_of_tags(tags=('bus', 'car', 'bike'))
    with pytest.raises(UserError, match="crf='rrm' is neither one of rrm_lab"):
        model_of_tags(crf='rrm')
    many = [str(i) for i in range(255)]
    with pytest.raises(UserError, match='up to 254 tags in a mask, not 255'):
        model_of_tags(tags=many, seg=many)
    cfg = tiny_model_cfg(weak_losses=[
        dict(type='DenseEnergyLoss'),
        dict(type='BoxForMaskLoss')
    ])
    with pytest.raises(UserError, match='labels of BoxForMaskLoss: put it af'):
        MODELS.build(cfg)
    cfg = tiny_model_cfg(weak_losses=[dict(type='TagForMaskLoss')])
    with pytest.raises(UserError, match="for it, task_heads=dict.cls="):
        MODELS.build(cfg)
    assert ClassMap(**cfg['class_map'])
