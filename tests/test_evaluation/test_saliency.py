# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
import torch

from mmbombo.evaluation import MultiTaskEvaluator, SaliencyMetric


def sample(pred, **truth):
    found = {key: dict(data=value[None]) for key, value in truth.items()}
    return dict(pred_saliency=dict(data=pred[None]), **found)


def metrics_of(*samples):
    metric = SaliencyMetric()
    for x in samples:
        metric.process(None, [x])
    return metric.compute_metrics(metric.results)


def test_values_by_hand():
    rng = np.random.default_rng(0)
    preds = rng.integers(0, 256, (3, 8, 9)) / 255
    truths = rng.random((3, 8, 9)) > .6
    known = rng.random((3, 8, 9)) > .2
    found = metrics_of(*(sample(
        torch.tensor(p),
        gt_saliency=torch.tensor(np.where(k, t.astype(float), -1.)))
                         for p, t, k in zip(preds, truths, known)))
    best = 0.
    for level in np.arange(256) / 255:
        precision, recall = [], []
        for p, t, k in zip(preds, truths, known):
            marked = p[k] >= level - 1e-9
            hits = (marked & t[k]).sum()
            precision.append(hits / marked.sum() if marked.any() else 1.)
            recall.append(hits / t[k].sum())
        p, r = np.mean(precision), np.mean(recall)
        best = max(best, 1.3 * p * r / (.3 * p + r) if p + r else 0.)
    ious = [((p > .5) & t & k).sum() / (((p > .5) | t) & k).sum()
            for p, t, k in zip(preds, truths, known)]
    errors = [abs(p - t)[k].mean() for p, t, k in zip(preds, truths, known)]
    assert found == pytest.approx(
        dict(MAE=np.mean(errors), IoU=np.mean(ious), maxF=best), abs=1e-6)


def test_a_mask_is_a_truth_too():
    ids = torch.tensor([[0, 3, 255], [1, 0, 0]])
    right = torch.tensor([[0, 1, 0], [1, 0, 0.]])
    assert metrics_of(sample(right, gt_sem_seg=ids)) == dict(
        MAE=0, maxF=pytest.approx(1), IoU=1)
    wrong = metrics_of(sample(1 - right, gt_sem_seg=ids))
    assert wrong['MAE'] == 1 and wrong['IoU'] == 0
    # a threshold of 0, at which all is salient, is none
    assert wrong['maxF'] == 0
    assert np.isnan(SaliencyMetric().compute_metrics([])['maxF'])


def test_images_without_anything():
    nothing = torch.zeros(2, 3)
    empty = sample(nothing, gt_saliency=nothing)
    assert metrics_of(empty, sample(nothing + 1,
                                    gt_saliency=nothing + 1)) == dict(
                                        MAE=0, maxF=pytest.approx(1), IoU=1)
    assert np.isnan(metrics_of(empty)['maxF'])
    metric = SaliencyMetric()
    metric.process(None, [sample(nothing, gt_saliency=nothing - 1)])
    assert not metric.results


def test_score_in_the_evaluator():
    evaluator = MultiTaskEvaluator(
        dict(sal=dict(type='SaliencyMetric')), kinds=dict(sal='sem_seg'))
    evaluator.dataset_meta = dict(seg_classes=('background', 'cat'))
    mask = torch.tensor([[0, 1]])
    evaluator.process([
        dict(
            sample(mask.float(), gt_sem_seg=mask),
            annotation_kinds=('sem_seg', ),
            source='x',
            sample_idx=0)
    ])
    assert evaluator.evaluate(1) == pytest.approx({
        'sal/MAE': 0,
        'sal/maxF': 1,
        'sal/IoU': 1,
        'joint/score': 1
    })
