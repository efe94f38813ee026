# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
import torch

from mmbombo.evaluation import SegIoUMetric

CLASSES = ('background', 'cat', 'dog', 'bus')


def evaluate(pairs, **kwargs):
    metric = SegIoUMetric(prefix='seg', **kwargs)
    metric.dataset_meta = dict(classes=CLASSES)
    for predicted, truth in pairs:
        metric.process(None, [
            dict(
                img_path='a.jpg',
                pred_sem_seg=dict(data=torch.as_tensor(predicted)[None]),
                gt_sem_seg=dict(data=torch.as_tensor(truth)[None]))
        ])
    return metric.evaluate(len(pairs))


def test_values_against_counting():
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(3):
        truth = rng.integers(0, 3, (17, 23))  # no bus
        predicted = np.where(
            rng.random(truth.shape) < .6, truth,
            rng.integers(0, 3, truth.shape))
        truth[rng.random(truth.shape) < .1] = 255
        pairs.append((predicted, truth.astype(np.uint8)))
    result = evaluate(pairs)

    predicted = np.concatenate([p.ravel() for p, _ in pairs])
    truth = np.concatenate([t.ravel() for _, t in pairs])
    predicted, truth = predicted[truth != 255], truth[truth != 255]
    ious = [
        100 * ((predicted == c) & (truth == c)).sum() /
        ((predicted == c) | (truth == c)).sum() for c in range(3)
    ]
    for name, iou in zip(CLASSES, ious):
        assert result[f'seg/{name}_IoU'] == pytest.approx(iou)
    assert np.isnan(result['seg/bus_IoU'])
    assert result['seg/mIoU'] == pytest.approx(np.mean(ious), abs=5.1e-3)
    assert result['seg/aAcc'] == pytest.approx(
        100 * (predicted == truth).mean(), abs=5.1e-3)


def test_id_outside_the_classes_is_an_error():
    predicted = np.zeros((4, 4), dtype=np.int64)
    truth = np.full((4, 4), 4, dtype=np.uint8)
    with pytest.raises(ValueError, match="'a.jpg' has the id 4"):
        evaluate([(predicted, truth)])


def test_all_ignored_image_changes_nothing():
    predicted = np.array([[0, 1], [1, 1]])
    truth = np.array([[0, 0], [1, 1]], dtype=np.uint8)
    ignored = np.full((2, 2), 255, dtype=np.uint8)
    alone = evaluate([(predicted, truth)])
    both = evaluate([(predicted, truth), (predicted, ignored)])
    assert alone['seg/mIoU'] == both['seg/mIoU']
    assert alone['seg/cat_IoU'] == pytest.approx(200 / 3)
