# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmbombo.evaluation.metrics import TopAccuracyMetric
from mmbombo.registry import MODELS


def test_loss_and_probabilities():
    torch.manual_seed(0)
    head = MODELS.build(
        dict(
            type='SingleLabelTaskHead',
            num_classes=3,
            in_channels=4,
            in_index=0,
            loss_weight=2.))
    logits = torch.randn(4, 3, requires_grad=True)
    # the third image shows two classes, the fourth an unknown one
    labels = torch.tensor([[0, 1, 0], [-1, 0, 1], [1, 1, 0], [0, 0, -1]])
    loss = head.loss_on_targets('cls', (logits, None), labels, [])['loss_cls']
    wanted = 2 * F.cross_entropy(logits[:2], torch.tensor([1, 2]))
    torch.testing.assert_close(loss, wanted)
    unknown = head.loss_on_targets('cls', (logits[2:], None), labels[2:], [])
    unknown['loss_cls'].backward()
    assert (logits.grad == 0).all()
    scores = head.decode('cls', (logits, None), [])
    torch.testing.assert_close(scores, logits.softmax(1))


def test_top_accuracy():
    metric = TopAccuracyMetric(topk=(1, 2))
    scores = np.array([[.5, .3, .2], [.3, .5, .2], [.2, .3, .5], [.1, .2, .7]])
    samples = [
        dict(
            pred_image_label=dict(score=torch.tensor(score)),
            gt_image_label=dict(label=torch.eye(3)[0].to(torch.int8)))
        for score in scores
    ]
    metric.process({}, samples)
    assert metric.compute_metrics(metric.results) == dict(top1=25., top2=50.)


@pytest.mark.parametrize('score, top1',
                         [([.2, .2, .2], 0.), ([.3, .3, .1], 0.),
                          ([np.nan] * 3, 0.), ([.9, np.nan, .1], 0.),
                          ([np.nan, .1, .1], 0.), ([.9, .1, .1], 100.)])
def test_ties_and_nan_count_against(score, top1):
    metric = TopAccuracyMetric()
    # the class of the others is not known, or they show two
    for label in ([1, 0, 0], [-1, 0, 0], [-1, -1, -1], [1, 1, 0]):
        metric.process({}, [
            dict(
                pred_image_label=dict(score=torch.tensor(score)),
                gt_image_label=dict(label=torch.tensor(label)))
        ])
    assert metric.compute_metrics(metric.results) == dict(top1=top1)
    assert len(metric.results) == 1


@pytest.mark.parametrize('depth, weights', [(32, 466256), (110, 1730064)])
def test_cifar_resnet(depth, weights):
    """6n + 2 layers: two in each of 3n blocks, the stem and the classifier."""
    net = MODELS.build(dict(type='CifarResNet', depth=depth))
    blocks = [len(net.layer1), len(net.layer2), len(net.layer3)]
    assert 2 * sum(blocks) + 2 == depth and len({*blocks}) == 1
    assert sum(p.numel() for p in net.parameters()) == weights
    out, = net(torch.zeros(1, 3, 32, 32))
    assert out.shape == (1, 64, 8, 8)
    net.train()
    assert net.bn1.training  # mmdet's default keeps statistics
