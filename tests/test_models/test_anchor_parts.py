# Copyright (c) mmbombo contributors.
"""Anchors, assigner and the losses that MMDetection lends: fixtures (C.7)."""
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmbombo.registry import MODELS, TASK_UTILS

CONFIG = Path(__file__).resolve().parents[2] / \
    'configs/_base_/models/r18_cem-fpn_anchor.py'
STRIDES = (8, 16, 32, 64)


def anchors(height, width):
    cfg = Config.fromfile(CONFIG).model.task_heads.det.head.anchor_generator
    sizes = [(height // s, width // s) for s in cfg.strides]
    levels = TASK_UTILS.build(cfg).grid_priors(sizes, device='cpu')
    return torch.cat(levels)


def center_and_size(boxes):
    return torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2,
                      boxes[:, 2:] - boxes[:, :2]], 1)


def test_anchors_of_the_fixture():
    boxes = center_and_size(anchors(320, 320))
    assert len(boxes) == 12750
    first = [(24, 24), (33.941, 16.971), (16.971, 33.941), (33.941, 33.941),
             (48, 24), (24, 48)]
    torch.testing.assert_close(
        boxes[:6],
        torch.tensor([(4., 4., w, h) for w, h in first]),
        atol=1e-3,
        rtol=0)
    # the largest, sqrt(2) * 192 * sqrt(2) = 384 pixels wide, is clamped
    assert boxes[:, 2:].max() == 320
    # at another size, anchors keep theirs
    torch.testing.assert_close(
        center_and_size(anchors(256, 256))[:6], boxes[:6])


def slow_anchors(size):
    """One cell and one shape at a time, relative to the input (A.2)."""
    anchors = []
    for level, stride in enumerate(STRIDES):
        cells = size // stride
        for i in range(cells):
            for j in range(cells):
                for s in (24 * 2**level, 24 * 2**level * 2**.5):
                    for ratio in (1., 2**.5, 2**-.5):
                        box = [(j + .5) / cells, (i + .5) / cells,
                               s * ratio / size, s / ratio / size]
                        cx, cy, w, h = np.clip(box, 0., 1.) * size
                        anchors.append(
                            [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
    return np.array(anchors)


def test_anchors_against_a_slow_reference(size=128):
    np.testing.assert_allclose(anchors(size, size), slow_anchors(size),
                               atol=1e-4)


def test_anchors_are_clamped_to_each_side_of_the_input():
    boxes = center_and_size(anchors(128, 320))
    assert boxes[:, 2].max() == 320 and boxes[:, 3].max() == 128
    assert boxes[:, 0].max() == 316 and boxes[:, 1].max() == 124


def test_mutual_guide_takes_at_least_one_anchor_of_a_box_that_has_any():
    """Tiny values add up to 0: one positive; no overlap at all: none."""
    assigner = TASK_UTILS.build(dict(type='MutualGuideAssigner'))
    priors = torch.tensor([[0., 0., 100., 100.], [200., 0., 300., 100.]])
    gt = InstanceData(
        bboxes=torch.tensor([[0., 0., 5., 5.], [0., 200., 50., 250.]]),
        labels=torch.tensor([0, 1]))
    result = assigner.assign(
        InstanceData(priors=priors, bboxes=priors, scores=torch.zeros(2, 2)),
        gt)
    assert result.gt_inds.tolist() == [1, 0]
    assert result.labels.tolist() == [0, -1]
    assert result.get_extra_property('box_gt_inds').tolist() == [1, 0]
    assert result.max_overlaps[0] == pytest.approx(25 / 1e4)


def test_classes_decide_where_boxes_are_learned():
    """Two anchors fit alike: the one with the right class learns more."""
    assigner = TASK_UTILS.build(dict(type='MutualGuideAssigner', topk=1))
    box = torch.tensor([[0., 0., 10., 10.]])
    priors = torch.tensor([[0., 0., 10., 5.], [0., 5., 10., 10.]])
    scores = torch.tensor([[.1, .9], [.8, .0]])
    result = assigner.assign(
        InstanceData(priors=priors, bboxes=priors.flip(0), scores=scores),
        InstanceData(bboxes=box, labels=torch.tensor([0])))
    assert result.get_extra_property('box_gt_inds').tolist() == [0, 1]
    assert result.get_extra_property('box_weights')[1] == pytest.approx(
        .5 * np.exp(.4), rel=1e-5)


# losses of MMDetection with the paper's arguments


def paper_loss(name):
    head = Config.fromfile(CONFIG).model.task_heads.det.head
    return MODELS.build(dict(head[name], _scope_='mmdet'))


@pytest.mark.parametrize('distance, value', [(.05, .091197), (.1099, .188423),
                                             (.1101, .188744), (.5, .773594),
                                             (1., 1.523594)])
def test_balanced_l1_of_the_fixture(distance, value):
    loss = paper_loss('loss_bbox')(
        torch.tensor([[distance]]), torch.zeros(1, 1))
    assert float(loss) == pytest.approx(value, abs=1e-6)


def test_focal_losses_of_the_fixture():
    logits = torch.tensor([[0., 1., -2.]])
    label = torch.tensor([0])
    focal = paper_loss('loss_cls')(logits, label, avg_factor=1)
    assert float(focal) == pytest.approx(.818045, abs=1e-6)
    quality = MODELS.build(
        dict(
            type='mmdet.QualityFocalLoss',
            use_sigmoid=True,
            loss_weight=2.0))
    for score, value in [(1., 1.753917), (.7, 1.462796)]:
        loss = quality(logits, (label, torch.tensor([score])), avg_factor=1)
        assert float(loss) == pytest.approx(value, abs=1e-6)
