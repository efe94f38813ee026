# Copyright (c) mmbombo contributors.
"""Correct localization of four images, by hand."""
import math

import torch

from mmbombo.evaluation.metrics import CorLocMetric

CLASSES = ('cat', 'dog', 'cow')


def image(found, truths):
    """Rows of a box, a label, and a score, or whether it is difficult."""
    boxes = torch.tensor([x[:4] for x in found]).view(-1, 4).float()
    return dict(
        pred_instances=dict(
            bboxes=boxes,
            labels=torch.tensor([x[4] for x in found]).long(),
            scores=torch.tensor([x[5] for x in found]).float()),
        instances=[
            dict(bbox=x[:4], bbox_label=x[4], ignore_flag=x[5]) for x in truths
        ])


def evaluate(images):
    metric = CorLocMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process({}, images)
    return metric.compute_metrics(metric.results)


def test_four_images():
    scores = evaluate([
        # the best cat is right, by half (10 of 20); the dog is missing
        image([(0, 0, 10, 10, 0, .9), (50, 50, 60, 60, 0, .5)],
              [(0, 0, 10, 20, 0, 0), (30, 30, 40, 40, 1, 0)]),
        # the best cat is wrong, though the next one is right
        image([(50, 50, 60, 60, 0, .9), (0, 0, 10, 10, 0, .5)],
              [(0, 0, 10, 10, 0, 0)]),
        # either of two dogs is enough; a box of another class is nothing
        image([(30, 30, 40, 40, 1, .2), (0, 0, 9, 9, 0, .9)],
              [(0, 0, 9, 9, 1, 0), (30, 30, 40, 40, 1, 0)]),
        # difficult objects do not count
        image([(0, 0, 10, 10, 0, .9)], [(0, 0, 10, 10, 0, 1)])
    ])
    assert scores['cat_CorLoc'] == .5 and scores['dog_CorLoc'] == .5
    assert math.isnan(scores['cow_CorLoc']) and scores['CorLoc'] == .5


def test_nothing_to_find():
    assert evaluate([image([], [])])['CorLoc'] == -1
    assert evaluate([image([], [(0, 0, 9, 9, 0, 0)])])['CorLoc'] == 0
