# Copyright (c) mmbombo contributors.
"""The anchor head: fixtures of the reference code, slow targets, adapters."""
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.models.losses.balanced_l1_loss import balanced_l1_loss
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import Config
from mmengine.structures import InstanceData
from toolbox import box_iou

from mmbombo.models.dense_heads.per_level_anchor_head import flatten_levels
from mmbombo.models.task_heads.ignore_regions import IgnoreRegions
from mmbombo.registry import MODELS

CONFIG = Path(__file__).resolve().parents[2] / \
    'configs/_base_/models/r18_cem-fpn_anchor.py'
PARTS = dict(
    iou=dict(
        assigner=dict(type='mmbombo.IoUAssigner'),
        loss=dict(
            type='FocalLoss', use_sigmoid=True, alpha=0.25, gamma=1.0)),
    mutual=dict(
        assigner=dict(type='mmbombo.MutualGuideAssigner'),
        loss=dict(type='QualityFocalLoss', use_sigmoid=True, loss_weight=2.0)))
STRIDES = (8, 16, 32, 64)
#: C.7: boxes relative to 320 pixels, and classes.
FIXTURE = [([[.1, .1, .6, .7], [.2, .3, .25, .36]], [15, 3]),
           ([[.4, .4, .9, .9]], [7])]


def build(assigner, loss=None, num_classes=20, channels=8, **assigner_cfg):
    """The head of the config, thin, in its adapter."""
    cfg = Config.fromfile(CONFIG).model.task_heads.det
    cfg.head.update(
        num_classes=num_classes, in_channels=channels, feat_channels=channels)
    cfg.head.loss_cls = PARTS[loss or assigner]['loss']
    cfg.train_cfg.assigner = dict(PARTS[assigner]['assigner'], **assigner_cfg)
    head = MODELS.build(cfg)
    head.init_weights()
    return head


def instances(boxes, labels):
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.long))


def random_instances(seed, size=128, num_classes=3, count=5):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, size * .6, (count, 2))
    extent = rng.uniform(4, size * .5, (count, 2))
    boxes = np.concatenate([corner, np.minimum(corner + extent, size)], 1)
    return instances(boxes.tolist(), rng.integers(num_classes, size=count))


def make_feats(num_images, size=128, channels=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(
            num_images, channels, size // s, size // s, generator=generator)
        for s in STRIDES)


def constant_outputs(num_images, num_classes=20, size=320):
    def level(stride, channels, value):
        shape = (num_images, channels, size // stride, size // stride)
        return torch.full(shape, value)

    scores = [level(s, 6 * num_classes, -4.595) for s in STRIDES]
    return scores, [level(s, 24, 0.) for s in STRIDES]


def random_outputs(num_images, num_classes, size, seed):
    generator = torch.Generator().manual_seed(seed)

    def level(stride, channels, scale):
        shape = (num_images, channels, size // stride, size // stride)
        return torch.randn(shape, generator=generator) * scale

    scores = [level(s, 6 * num_classes, 2.) for s in STRIDES]
    return scores, [level(s, 24, 1.5) for s in STRIDES]


def metas(num_images, size=128):
    return [
        dict(img_shape=(size, size), pad_shape=(size, size),
             scale_factor=(1., 1.)) for _ in range(num_images)
    ]


def fixture_boxes():
    return [
        instances((np.array(boxes) * 320).tolist(), labels)
        for boxes, labels in FIXTURE
    ]


# fixtures of the reference code

#: Two anchors overlap a box of the fixture by exactly one half. The
#: reference's rounding, in units of the input, puts them just below.
JUST_ABOVE_HALF = dict(iou=dict(pos_iou_thr=.500001), mutual={})


def test_iou_assignment_of_the_fixture():
    exact = build('iou').head
    targets = exact.dense_targets(*constant_outputs(2), fixture_boxes())
    assert (targets.labels < 20).sum(dim=1).tolist() == [14 + 2, 16]
    head = build('iou', **JUST_ABOVE_HALF['iou']).head
    targets = head.dense_targets(*constant_outputs(2), fixture_boxes())
    positive = targets.labels < 20
    ignored = targets.ignored.any(dim=2)
    negative = ~positive & ~ignored
    counts = torch.stack([positive, ignored, negative]).sum(dim=2)
    assert counts.t().tolist() == [[14, 24, 12712], [16, 26, 12708]]
    assert (targets.labels[0] == 15).sum() == 12
    assert (targets.labels[0] == 3).sum() == 2
    # each for one class: the reference's loss has no other explanation
    assert targets.ignored.sum(dim=(1, 2)).tolist() == [24, 26]


def test_mutual_guide_assignment_of_the_fixture():
    head = build('mutual').head
    targets = head.dense_targets(*constant_outputs(2), fixture_boxes())
    assert (targets.labels < 20).sum(dim=1).tolist() == [13, 8]
    assert (targets.box_weights > 0).sum(dim=1).tolist() == [13, 8]
    assert not targets.ignored.any()


@pytest.mark.parametrize('assigner, loss, cls, bbox', [
    ('iou', 'iou', 2.421295, 1.867703),
    ('iou', 'mutual', 9.060978, 1.867703),
    # 1.769473 in the reference, see the next test
    ('mutual', 'mutual', 1.664067, 1.768190),
])
def test_losses_of_the_fixture(assigner, loss, cls, bbox):
    head = build(assigner, loss, **JUST_ABOVE_HALF[assigner]).head
    losses = head.loss_by_feat(*constant_outputs(2), fixture_boxes(),
                               metas(2, 320))
    assert float(losses['loss_cls']) == pytest.approx(cls, abs=2e-5)
    assert float(losses['loss_bbox']) == pytest.approx(bbox, abs=2e-5)


def test_mutual_guide_box_loss_of_the_fixture_up_to_ties():
    """With constant outputs, equally good anchors compete for the last places.

    Which of them win is rounding; the reference's value must be that of some
    choice, and so must ours.
    """
    head = build('mutual').head
    outputs, gt = constant_outputs(2), fixture_boxes()
    chosen = head.dense_targets(*outputs, gt).box_weights > 0
    anchors = torch.from_numpy(anchors_of(head, 320))
    score = torch.tensor(-4.595).sigmoid()
    sums, mass = [], 0.
    for image, positive in zip(gt, chosen):
        values = bbox_overlaps(image.bboxes, anchors) * (score / 2).exp()
        owner = values.argmax(dim=0)
        for g, box in enumerate(image.bboxes):
            value = values[g] * (owner == g)
            deltas = head.bbox_coder.encode(anchors, box.expand_as(anchors))
            costs = balanced_l1_loss(
                deltas, torch.zeros_like(deltas), beta=.11,
                reduction='none').mean(dim=1)
            costs = costs * value
            mine = positive & (owner == g)
            last = value[mine].min()
            tied = (value - last).abs() < 1e-6
            certain = costs[mine & ~tied].sum()
            places = int((mine & tied).sum())
            sums.append([
                float(certain + sum(winners)) for winners in
                itertools.combinations(costs[tied].tolist(), places)
            ])
            mass += float(value[mine].sum())
    allowed = np.array([sum(x) / mass for x in itertools.product(*sums)])
    ours = head.loss_by_feat(*outputs, gt, metas(2, 320))['loss_bbox']
    for value in (1.769473, float(ours)):
        assert np.abs(allowed - value).min() < 2e-6
    assert len(np.unique(allowed.round(5))) < 12  # the check can fail


# targets against slow NumPy


def anchors_of(head, size=128):
    """The head's anchors, which have their own test."""
    sizes = [(size // stride, size // stride) for stride in STRIDES]
    levels = head.prior_generator.grid_priors(sizes, device='cpu')
    return torch.cat(levels).numpy()


def slow_encode(anchor, box):
    aw, ah = anchor[2] - anchor[0], anchor[3] - anchor[1]
    gw, gh = box[2] - box[0], box[3] - box[1]
    return [(box[0] + box[2] - anchor[0] - anchor[2]) / 2 / (.1 * aw),
            (box[1] + box[3] - anchor[1] - anchor[3]) / 2 / (.1 * ah),
            math.log(gw / aw) / .2,
            math.log(gh / ah) / .2]


def slow_decode(anchor, delta):
    aw, ah = anchor[2] - anchor[0], anchor[3] - anchor[1]
    cx = (anchor[0] + anchor[2]) / 2 + .1 * aw * delta[0]
    cy = (anchor[1] + anchor[3]) / 2 + .1 * ah * delta[1]
    w, h = aw * math.exp(.2 * delta[2]), ah * math.exp(.2 * delta[3])
    return [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]


def slow_iou_targets(anchors, boxes):
    """A.5: -1 ignored, 0 negative, k positive of box k - 1."""
    ious = np.array([[box_iou(g, a) for a in anchors] for g in boxes])
    owner, value = ious.argmax(0), ious.max(0)
    for g in range(len(boxes)):
        best = ious[g].argmax()
        owner[best], value[best] = g, 1.
    inds = np.where(value >= .5, owner + 1, np.where(value < .4, 0, -1))
    return inds, owner


def slow_mutual_choice(matrix):
    """A.6, steps 2 and 3, with the reference's bonus of 3."""
    matrix = matrix.copy()
    for n in range(matrix.shape[1]):
        best = matrix[:, n].argmax()
        for g in range(matrix.shape[0]):
            if g != best:
                matrix[g, n] = 0.
    for g in range(matrix.shape[0]):
        order = np.argsort(-matrix[g], kind='stable')
        k = max(1, int(matrix[g, order[:15]].sum()))
        k = min(k, int((matrix[g] > 0).sum()))
        matrix[g, order[:k]] += 3.
    best = matrix.max(0)
    inds = np.where(best >= 3, matrix.argmax(0) + 1, 0)
    return inds, np.where(best >= 3, best - 3, 0.)


def check_against(targets, anchors, gt, inds, quality, box_inds, weights):
    """Compare dense targets of one image with slow assignments."""
    labels, _, qualities, deltas, box_weights = (
        x[0].numpy() for x in targets)
    expected = [int(gt.labels[k - 1]) if k > 0 else 3 for k in inds]
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_allclose(qualities, quality, atol=1e-5)
    np.testing.assert_allclose(box_weights, weights, atol=1e-5)
    for n in np.flatnonzero(box_inds > 0):
        wanted = slow_encode(anchors[n], gt.bboxes[box_inds[n] - 1].tolist())
        np.testing.assert_allclose(deltas[n], wanted, atol=1e-3)
    assert np.isfinite(deltas).all()


@pytest.mark.parametrize('seed', range(2))
def test_iou_targets_against_a_slow_reference(seed):
    """mmdet.MaxIoUAssigner, so configured, is the paper's assigner."""
    gt = random_instances(seed)
    if seed == 0:  # two boxes that want the same anchor: the later one wins
        gt.bboxes[4] = gt.bboxes[1]
    head = build('iou', num_classes=3).head
    targets = head.dense_targets(*random_outputs(1, 3, 128, seed), [gt])
    # all in float32, because a box inside of several equal anchors has ties
    anchors = anchors_of(head)
    inds, owner = slow_iou_targets(anchors, gt.bboxes.numpy())
    assert {-1, 0} < set(inds.tolist())
    positive = (inds > 0).astype(float)
    check_against(targets, anchors, gt, inds, positive, inds, positive)
    for n, k in enumerate(inds):
        ignored = [gt.labels[owner[n]] == c and k == -1 for c in range(3)]
        assert targets.ignored[0, n].tolist() == ignored


def test_assigner_of_mmdet_ignores_all_classes():
    """It calls the same anchors positive, and ignores the same anchors."""
    gt = [random_instances(i) for i in range(3)]
    outputs = random_outputs(3, 3, 128, 0)
    ours = build('iou', num_classes=3).head.dense_targets(*outputs, gt)
    stock = build(
        'iou',
        num_classes=3,
        type='MaxIoUAssigner',
        pos_iou_thr=.5,
        neg_iou_thr=.4,
        gt_max_assign_all=False).head.dense_targets(*outputs, gt)
    assert torch.equal(stock.labels, ours.labels)
    assert torch.equal(stock.deltas, ours.deltas)
    assert torch.equal(stock.ignored.any(dim=2), stock.ignored.all(dim=2))
    assert torch.equal(stock.ignored.any(dim=2), ours.ignored.any(dim=2))
    assert ours.ignored.any()


@pytest.mark.parametrize('seed', range(2))
def test_mutual_guide_targets_against_a_slow_reference(seed):
    gt = random_instances(seed)
    head = build('mutual', num_classes=3).head
    scores, deltas = random_outputs(1, 3, 128, seed)
    targets = head.dense_targets(scores, deltas, [gt])

    anchors = anchors_of(head).astype(float)
    logits = flatten_levels(scores, 3)[0].double().numpy()
    flat_deltas = flatten_levels(deltas, 4)[0].double().numpy()
    predicted = [slow_decode(a, d) for a, d in zip(anchors, flat_deltas)]
    boxes = gt.bboxes.double().tolist()
    probability = 1 / (1 + np.exp(-logits))
    r = np.array([[box_iou(g, b) for b in predicted] for g in boxes])
    q = np.array([[
        min(1., box_iou(g, a) * math.exp(probability[n, label] / 2))
        for n, a in enumerate(anchors)
    ] for g, label in zip(boxes, gt.labels)])
    inds, quality = slow_mutual_choice(r)
    box_inds, weights = slow_mutual_choice(q)
    assert not np.array_equal(inds, box_inds)
    check_against(targets, anchors, gt, inds, quality, box_inds, weights)


@pytest.mark.parametrize('assigner', PARTS)
def test_targets_never_wait_for_the_device(assigner):
    """Meta tensors have no values: reading one is an error."""
    head = build(assigner, num_classes=3).head.to('meta')
    outputs = [[x.to('meta') for x in level]
               for level in random_outputs(2, 3, 128, 0)]
    gt = [x.to('meta') for x in (random_instances(0), instances([], []))]
    targets = head.dense_targets(*outputs, gt)
    assert targets.ignored.shape == (2, 2040, 3)
    assert targets.deltas.device.type == 'meta'


# the head in its adapter


@pytest.mark.parametrize('assigner', PARTS)
def test_images_without_boxes_give_finite_losses(assigner):
    """Only ignored boxes, no box at all, and one image of two with boxes."""
    head = build(assigner, num_classes=3)
    feats = make_feats(2)
    none = instances([], [])
    ignore = IgnoreRegions.from_instances([random_instances(0), none], 3)
    for targets, regions in [([none, none], ignore), ([none, none], None),
                             ([none, random_instances(1)], None)]:
        head.zero_grad()
        losses = head.loss_on_targets('det', head(feats), targets, metas(2),
                                      regions)
        sum(losses.values()).backward()
        assert losses['loss_cls'] > 0
        assert bool(losses['loss_bbox'] > 0) == (len(targets[1]) > 0)
        # every parameter has a gradient, as distributed training needs
        assert all(
            torch.isfinite(p.grad).all() for p in head.parameters())


@pytest.mark.parametrize('assigner', PARTS)
def test_a_box_without_area_is_no_target(assigner):
    """It overlaps no anchor, and the logarithm of its width is infinite."""
    head = build(assigner, num_classes=3)
    outputs = head(make_feats(1))
    flat = instances([[60., 20., 60., 50.]], [1])
    got, wanted = (
        head.loss_on_targets('det', outputs, [boxes], metas(1), None)
        for boxes in (flat, instances([], [])))
    for key, value in wanted.items():
        torch.testing.assert_close(got[key], value)


@pytest.mark.parametrize('assigner', PARTS)
def test_half_precision_outputs_give_the_same_loss(assigner):
    head = build(assigner, num_classes=3).head
    outputs = random_outputs(2, 3, 128, 1)
    halves = [[x.half() for x in level] for level in outputs]
    boxes = [random_instances(i) for i in range(2)]
    wanted = head.loss_by_feat(
        *[[x.float() for x in level] for level in halves], boxes, metas(2))
    got = head.loss_by_feat(*halves, boxes, metas(2))
    for key in wanted:
        assert got[key].dtype == torch.float32
        torch.testing.assert_close(got[key], wanted[key])


def test_levels_have_their_own_weights():
    head = build('iou', num_classes=3).eval().head
    first = make_feats(1)[0][:, :, :2, :2]
    with torch.no_grad():
        scores, deltas = head([first] * 4)
    for outputs in (scores, deltas):
        for i in range(4):
            for j in range(i):
                assert not torch.allclose(outputs[i], outputs[j])
    initial = torch.cat([conv.bias for conv in head.conv_cls])
    torch.testing.assert_close(initial, torch.full((72, ), -4.59512))
    assert all(conv.bias.abs().max() == 0 for conv in head.conv_reg)
    assert head.conv_reg[0].weight.std() < .02


def test_predictions_are_decoded_and_suppressed_per_class():
    """Four confident anchors; one of two of the same class survives."""
    head = build('iou', num_classes=3)
    scores = [x.fill_(-20.) for x in random_outputs(1, 3, 128, 0)[0]]
    deltas = [x.zero_() for x in random_outputs(1, 3, 128, 0)[1]]
    # level 1, cell (3, 2), anchor 0: 48 pixels about (40, 56)
    scores[1][0, 0, 3, 2] = 3.  # class 0
    scores[1][0, 1, 3, 2] = 2.  # class 1, the same anchor
    # its neighbor, moved onto it: 0.1 * 48 * dx = -16 pixels
    scores[1][0, 0, 3, 3] = 1.
    deltas[1][0, 0, 3, 3] = -16 / 4.8
    # level 3, cell (0, 0): 128 pixels wide at most, cut at the border
    scores[3][0, 2, 0, 0] = 1.
    result = head.decode('det', (scores, deltas), metas(1))[0]
    assert result.labels.tolist() == [0, 1, 2]
    torch.testing.assert_close(
        result.bboxes,
        torch.tensor([[16., 32., 64., 80.], [16., 32., 64., 80.],
                      [0., 0., 96., 96.]]))
    torch.testing.assert_close(
        result.scores, torch.tensor([3., 2., 1.]).sigmoid())
