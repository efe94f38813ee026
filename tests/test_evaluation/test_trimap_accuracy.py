# Copyright (c) mmbombo contributors.
"""Accuracy near boundaries, against a slow and obvious count."""
import math

import pytest
import torch
from mmseg.evaluation import IoUMetric

from mmbombo.evaluation.metrics import TrimapAccuracyMetric


def sample(pred, truth):
    return dict(
        pred_sem_seg=dict(data=pred[None]), gt_sem_seg=dict(data=truth[None]))


def random_maps(seed, size=(13, 17)):
    generator = torch.Generator().manual_seed(seed)
    truth = torch.zeros(size, dtype=torch.long)
    truth[3:7, 2:9] = 1
    truth[5:, 12:] = 2
    truth[torch.rand(size, generator=generator) < .1] = 255
    pred = torch.randint(0, 3, size, generator=generator)
    return pred, truth


def by_loops(maps, width):
    right = total = 0
    for pred, truth in maps:
        places = torch.cartesian_prod(*map(torch.arange, truth.shape)).tolist()
        known = [p for p in places if truth[tuple(p)] != 255]
        for p in known:
            if any(truth[tuple(q)] != truth[tuple(p)]
                   and math.dist(p, q) <= width for q in known):
                total += 1
                right += int(pred[tuple(p)] == truth[tuple(p)])
    return 100 * right / total


def test_as_by_loops():
    maps = [random_maps(seed) for seed in range(2)]
    metric = TrimapAccuracyMetric(widths=(1, 1.5, 4))
    metric.process({}, [sample(*x) for x in maps])
    assert metric.evaluate(2) == {
        f'trimap_{width:g}': pytest.approx(by_loops(maps, width))
        for width in (1, 1.5, 4)
    }


def test_both_sides_of_an_edge():
    truth = torch.zeros(5, 8, dtype=torch.long)
    truth[:, 4:] = 1
    pred = truth.clone()
    pred[:, 4] = 0  # the edge is a pixel too far
    metric = TrimapAccuracyMetric()
    metric.process({}, [sample(pred, truth)])
    assert metric.evaluate(1) == dict(
        trimap_1=50., trimap_2=75., trimap_4=87.5)


def test_no_boundary():
    truth = torch.zeros(3, 3, dtype=torch.long)
    metric = TrimapAccuracyMetric()
    metric.process({}, [sample(truth, truth)])
    truth = torch.full((1, 1), 255)
    metric.process({}, [sample(truth * 0, truth)])
    assert all(math.isnan(x) for x in metric.evaluate(2).values())


def test_class_accuracy_is_of_the_classes_that_there_are():
    """MMSegmentation's mAcc is what E2S2 calls class accuracy."""
    truth = torch.tensor([[0, 0, 0, 0, 1, 255]])
    pred = torch.tensor([[0, 0, 0, 2, 1, 0]])
    metric = IoUMetric()
    metric.dataset_meta = dict(classes=('a', 'b', 'c', 'd'))
    metric.process({}, [sample(pred, truth)])
    assert metric.evaluate(1)['mAcc'] == pytest.approx((75 + 100) / 2)
