# Copyright (c) mmbombo contributors.
import pytest
import torch
from mmengine.structures import InstanceData, LabelData, PixelData
from toolbox import (CLASSES, SIZE, det_head_cfg, make_sample, tiny_model_cfg,
                     without_statistics)

from mmbombo.models.context import StepContext
from mmbombo.registry import MODELS
from mmbombo.structures import Regions
from mmbombo.utils import UserError

NOBODY = dict(type='PredictedSeeds', by='ema')
#: Of ``SIZE`` pixels.
BOX = (32., 40., 80., 72.)


def build(seeds=NOBODY, det='gfl', tags=CLASSES, **kwargs):
    torch.manual_seed(0)
    cfg = tiny_model_cfg(
        weak_losses=[dict(type='TagForBoxLoss', seeds=seeds)],
        classes=dict(cls=tags, det=CLASSES),
        class_map=None)
    cfg['task_heads'] = dict(
        det=cfg['task_heads']['det'],
        cls=dict(
            type='ClsTaskHead',
            num_classes=len(tags),
            in_channels=16,
            in_index=0))
    if det != 'gfl':
        cfg['neck']['num_outs'] = 6
        cfg['task_heads']['det'] = dict(
            det_head_cfg(det, channels=16),
            in_indices=(1, 2, 3) if det == 'rtmdet' else (1, 2, 3, 4, 5))
    cfg['task_heads'].update(kwargs)
    model = MODELS.build(cfg)
    model.init_weights()
    return without_statistics(model.train())


def tagged(labels, boxes=None, size=SIZE, **fields):
    sample = make_sample((), size=size, **fields)
    sample.set_metainfo(dict(annotation_kinds=('image_label', )))
    sample.gt_image_label = LabelData(
        label=torch.tensor(labels, dtype=torch.int8))
    if boxes is not None:
        sample.regions = Regions(
            bboxes=torch.tensor(boxes).view(-1, 4).float(),
            pairs=torch.zeros(2, 0).long(),
            superpixels=torch.zeros(size, size).long())
    return sample


def context(model, *samples):
    generator = torch.Generator().manual_seed(1)
    size = samples[-1].img_shape[0]
    inputs = torch.randn(len(samples), 3, size, size, generator=generator)
    return StepContext(model, inputs, list(samples))


def predict(ctx, boxes, scores, labels):
    """Let whoever is asked predict this in every image."""
    found = InstanceData(
        bboxes=torch.tensor(boxes).view(-1, 4).float(),
        scores=torch.tensor(scores),
        labels=torch.tensor(labels, dtype=torch.long))
    ctx.predict = lambda task, images, by, cfg, head: [found] * len(images)


def shown_in(box, label, value=1.):
    """Activation maps ``(1, 3, SIZE, SIZE)`` of one class in a box."""
    maps = torch.zeros(1, 3, SIZE, SIZE)
    x1, y1, x2, y2 = map(int, box)
    maps[0, label, y1:y2, x1:x2] = value
    return maps


def say(ctx, maps):
    ctx._outputs['cls'] = maps.mean((2, 3)), maps


def pseudo(ctx):
    """Boxes and labels of the first image, as lists."""
    loss = ctx.model.weak_losses[0]
    targets, _ = loss.pseudo_boxes(ctx, loss.images(ctx))
    return targets[0].bboxes.tolist(), targets[0].labels.tolist()


def total(losses):
    return sum(
        sum(value) if isinstance(value, list) else value
        for key, value in losses.items() if 'loss' in key)


# ----------------------------------------------------------------- predictions
def test_sure_boxes_and_the_best_of_each_tag_are_taken():
    model = build(dict(type='PredictedSeeds', score_thr=.4))
    ctx = context(model, tagged([1, 0, 1]))
    boxes = [[k, 0, k + 9, 9] for k in range(6)]
    # of class 0 two are sure; class 1 is absent; of class 2 none is sure
    predict(ctx, boxes, [.9, .5, .3, .9, .1, .2], [0, 0, 0, 1, 2, 2])
    assert pseudo(ctx) == ([boxes[0], boxes[1], boxes[5]], [0, 0, 2])


def test_boxes_without_area_and_of_unknown_tags_are_dropped():
    model = build(dict(type='PredictedSeeds'))
    ctx = context(model, tagged([1, -1, 0]))
    predict(ctx, [[5, 5, 5, 9], [0, 0, 9, 9]], [.9, .9], [0, 1])
    assert pseudo(ctx) == ([], [])


def test_another_head_or_network_predicts():
    proposals = dict(
        type='ProposalTaskHead',
        num_classes=3,
        in_channels=16,
        in_index=1,
        stride=8,
        fc_channels=8,
        roi_size=2)
    seeds = dict(
        type='PredictedSeeds', head='proposals', score_thr=1., best_thr=0.)
    model = build(seeds, proposals=proposals)
    ctx = context(model, tagged([0, 1, 0], [BOX, (0, 0, 40, 90)]))
    assert ctx.plan['proposals'] == ctx.plan['det'] == [0]
    boxes, labels = pseudo(ctx)
    assert labels == [1] and tuple(boxes[0]) in {BOX, (0, 0, 40, 90)}

    seeds = dict(type='PredictedSeeds', by='t', score_thr=1., best_thr=0.)
    student, teacher = build(seeds), build()
    student.set_teacher('t', teacher)
    ctx = context(student, tagged([1, 1, 1]))
    found = ctx.predict('det', [0], 't', dict(score_thr=0.))[0]
    boxes, labels = pseudo(ctx)
    assert sorted(labels) == [0, 1, 2]
    assert found.bboxes[found.scores.argmax()].tolist() in boxes


# ------------------------------------------------------------------- proposals
AROUND = [
    BOX, (32., 40., 56., 72.), (8., 24., 104., 88.), (90., 90., 120., 120.)
]


@pytest.mark.parametrize('order', [(0, 1, 2, 3), (3, 2, 1, 0)])
def test_the_proposal_that_fits_the_map_is_taken(order):
    model = build(dict(type='ProposalSeeds'))
    ctx = context(model, tagged([0, 0, 1], [AROUND[i] for i in order]))
    say(ctx, shown_in(BOX, 2) + shown_in(AROUND[3], 0))
    assert pseudo(ctx) == ([list(BOX)], [2])


def test_saliency_says_which_part_of_a_map_counts():
    model = build(
        dict(type='ProposalSeeds', maps=dict(type='CAMMaps', saliency=True)))
    sample = tagged([0, 0, 1], AROUND)
    sample.gt_saliency = PixelData(data=shown_in(BOX, 0)[0, :1])
    ctx = context(model, sample)
    say(ctx, shown_in(AROUND[2], 2))
    assert pseudo(ctx) == ([list(BOX)], [2])


def test_tags_and_classes_belong_together_by_name():
    model = build(dict(type='ProposalSeeds'), tags=('bus', 'cow', 'cat'))
    ctx = context(model, tagged([1, 1, 0], AROUND))
    say(ctx, shown_in(AROUND[3], 0) + shown_in(BOX, 1))
    assert pseudo(ctx) == ([list(BOX)], [CLASSES.index('cow')])
    _, ignore = model.weak_losses[0].pseudo_boxes(ctx, [0])
    # the cat is absent, no tag tells of dogs, and there may be more cows
    assert ignore.classes.tolist() == [[[False, True, True]]]


# ------------------------------------------------------------- what is taught
#: 160 is no multiple of the strides 64 and 128.
@pytest.mark.parametrize('size', [SIZE, 160])
@pytest.mark.parametrize('det', ['gfl', 'retinanet', 'fcos', 'rtmdet'])
def test_only_absent_classes_are_negatives_outside_the_boxes(det, size):
    model = build(dict(type='PredictedSeeds'), det)
    ctx = context(model, tagged([1, 0, -1], size=size))
    predict(ctx, [BOX, BOX], [.9, .9], [0, 1])
    scores = ctx.outputs('det')[0]
    for x in scores:
        x.retain_grad()
    total(model.weak_losses[0](ctx)).backward()
    strides = model.task_heads.det.head.prior_generator.strides
    inside = 0
    for x, (stride, _) in zip(scores, strides):
        grad = x.grad[0].unflatten(0, (-1, 3))
        centers = (torch.arange(x.shape[-1]) + .5) * stride
        beside = 1.5 * stride
        rows = (centers > BOX[1] - beside) & (centers < BOX[3] + beside)
        columns = (centers > BOX[0] - beside) & (centers < BOX[2] + beside)
        near = rows[:, None] & columns
        assert not grad[:, 0, ~near].any()
        assert not grad[:, 2].any()
        # even where a box of it is predicted; an assigner may leave out
        # anchors that overlap a target a little
        assert (grad[:, 1] >= 0).all() and (grad[:, 1, ~near] > 0).all()
        inside += grad[:, 0, near].count_nonzero()
    assert inside > 0


@pytest.mark.parametrize('det', ['gfl', 'retinanet', 'fcos', 'rtmdet'])
def test_an_image_without_tags_is_one_without_objects(det):
    model = build(det=det)
    ctx = context(model, tagged([0, 0, 0]))
    losses = model.weak_losses[0](ctx)
    empty = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    torch.testing.assert_close(
        total(losses), total(ctx.loss('det', [empty], [0])))
    assert total(losses) > 0 and losses['boxes_per_image'] == 0


def test_the_loss_is_that_of_the_boxes():
    model = build(dict(type='PredictedSeeds'))
    ctx = context(model, tagged([1, 0, 0]))
    predict(ctx, [BOX], [.9], [0])
    losses = model.weak_losses[0](ctx)
    boxes = InstanceData(bboxes=torch.tensor([BOX]), labels=torch.tensor([0]))
    wanted = ctx.loss('det', [boxes], [0])
    # what is ignored is about classes alone
    for key in ('loss_bbox', 'loss_dfl'):
        torch.testing.assert_close(losses[key], wanted[key])
    assert sum(losses['loss_cls']) < sum(wanted['loss_cls'])
    assert losses['boxes_per_image'] == 1
    assert ctx.samples[0].pseudo_instances.bboxes.tolist() == [list(BOX)]


UNIFORM = torch.ones(1, 3, SIZE, SIZE)


@pytest.mark.parametrize('det', ['gfl', 'retinanet', 'fcos', 'rtmdet'])
@pytest.mark.parametrize('labels, boxes, maps', [
    ([1, 1, 1], AROUND, UNIFORM),
    ([1, 1, 1], AROUND, 0 * UNIFORM),
    ([1, -1, 1], [], shown_in(BOX, 2)),
    ([1, 1, 1], [(500., 500., 600., 600.), (7., 7., 7., 7.)], UNIFORM),
    ([-1, -1, -1], AROUND, shown_in(BOX, 2)),
])
def test_nothing_is_learned_where_nothing_is_known(det, labels, boxes, maps):
    model = build(dict(type='ProposalSeeds'), det)
    ctx = context(model, tagged(labels, boxes))
    say(ctx, maps)
    losses = model.weak_losses[0](ctx)
    loss = total(losses)
    assert loss == 0 and losses['boxes_per_image'] == 0
    loss.backward()
    for name, parameter in model.task_heads.det.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any(), name


@pytest.mark.parametrize('size', [SIZE, 160])
@pytest.mark.parametrize('det', ['gfl', 'fcos'])
def test_before_the_first_average_only_absent_classes_are_taught(det, size):
    model = build(det=det)
    ctx = context(model, tagged([0, 1, 1], size=size),
                  tagged([1, 1, 1], size=size))
    scores = ctx.outputs('det')[0]
    for x in scores:
        x.retain_grad()
    total(model.weak_losses[0](ctx)).backward()
    assert all((x.grad[0, 0] > 0).all() for x in scores)
    assert not any(x.grad[0, 1:].any() or x.grad[1].any() for x in scores)


# ----------------------------------------------------------------- the images
def test_images_with_boxes_or_masks_are_left_alone():
    model = build(dict(type='ProposalSeeds'))
    boxed = make_sample(('bbox', 'image_label'), size=SIZE)
    masked = tagged([1, 1, 1], components=InstanceData())
    ctx = context(model, boxed, masked, tagged([1, 0, 0], AROUND))
    assert model.weak_losses[0].images(ctx) == [2]
    assert ctx.plan == dict(det=[0, 2], cls=[0, 1, 2])


def test_mistakes_are_said():
    with pytest.raises(UserError, match=r"no tag of \['bus'\] is a class"):
        build(tags=('bus', ))
    with pytest.raises(UserError, match='best_thr=0.5 must not be above'):
        build(dict(type='PredictedSeeds', best_thr=.5))
    with pytest.raises(UserError, match="no head is named 'dogs'"):
        build(
            dict(type='ProposalSeeds', maps=dict(type='CAMMaps', head='dogs')))
    with pytest.raises(UserError, match='give the model a ClsTaskHead'):
        build(
            dict(type='ProposalSeeds', maps=dict(type='CAMMaps', head='det')))
    with pytest.raises(UserError, match="'cls' does not serve the task 'det'"):
        build(dict(type='PredictedSeeds', head='cls'))
    model = build(dict(type='ProposalSeeds'))
    with pytest.raises(UserError, match='has no regions: its pipeline must'):
        model.weak_losses[0](context(model, tagged([1, 0, 0])))
    other = tagged([1, 0, 0], AROUND)
    other.set_metainfo(dict(img_shape=(SIZE, SIZE - 8)))
    with pytest.raises(UserError, match='regions of .* are of an image of'):
        model.weak_losses[0](context(model, other))
