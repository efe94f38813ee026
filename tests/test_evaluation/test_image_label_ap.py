# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import LabelData

from mmbombo.evaluation import MultiTaskEvaluator
from mmbombo.evaluation.metrics.image_label_metrics import class_ap

META = dict(cls_classes=('cat', 'dog', 'cow'))


def slow_ap(labels, scores):
    """Mean over the positives of the precision at their rank."""
    order = [i for i in np.argsort(-scores) if labels[i] >= 0]
    hits, precisions = 0, []
    for rank, i in enumerate(order, start=1):
        if labels[i] == 1:
            hits += 1
            precisions.append(hits / rank)
    return sum(precisions) / len(precisions)


def test_ap_against_a_slow_reference():
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = rng.integers(-1, 2, 30)
        scores = rng.permutation(30) / 30
        assert class_ap(labels, scores) == pytest.approx(
            slow_ap(labels, scores))


def test_routed_by_the_evaluator():
    evaluator = MultiTaskEvaluator(dict(cls=dict(type='ImageLabelAPMetric')))
    evaluator.dataset_meta = META
    rows = [([1, 0, 0], [.9, .8, .1]), ([0, 1, 0], [.2, .7, .1]),
            ([1, -1, 0], [.1, .9, .1])]
    for i, (labels, scores) in enumerate(rows):
        sample = DetDataSample(
            metainfo=dict(
                annotation_kinds=('sem_seg', 'image_label'),
                sample_idx=i,
                img_path=f'{i}.jpg'))
        sample.gt_image_label = LabelData(
            label=torch.tensor(labels, dtype=torch.int8))
        sample.pred_image_label = LabelData(score=torch.tensor(scores))
        evaluator.process([sample])
    scores = evaluator.evaluate(3)
    # cat: right at ranks 1 and 3 of 3; dog: rank 2 of 2, the third is unknown
    assert scores['cls/cat_AP'] == pytest.approx((1 + 2 / 3) / 2)
    assert scores['cls/dog_AP'] == pytest.approx(1 / 2)
    assert np.isnan(scores['cls/cow_AP'])
    assert scores['joint/score'] == scores['cls/mAP'] == pytest.approx(2 / 3)


def test_ap_needs_an_image_without_the_class():
    """Of presences alone every order is right."""
    scores = np.array([.9, .2, .3])
    assert np.isnan(class_ap(np.array([1, -1, 1]), scores))
    assert np.isnan(class_ap(np.array([0, -1, 0]), scores))
    assert class_ap(np.array([1, -1, 0]), scores) == 1.
