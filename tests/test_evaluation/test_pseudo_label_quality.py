# Copyright (c) mmbombo contributors.
import numpy as np

from mmbombo.evaluation.functional import BoxQuality, MaskQuality


def test_box_quality():
    quality = BoxQuality()
    true = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [50, 50, 60, 60.]])
    labels = np.array([1, 1, 2])
    touching = np.array([True, True, False])
    # one box around two objects, a right one, and a wrong class
    pseudo = np.array([[0, 0, 20, 10], [50, 50, 60, 60], [0, 0, 10, 10.]])
    quality.add(pseudo, np.array([1, 2, 2]), true, labels, touching)
    assert quality.summary() == dict(
        precision=2 / 3, recall=1., mean_iou=2 / 3, mean_iou_touching=.5)
    quality.add(np.zeros((0, 4)), np.zeros(0), true[:1], labels[:1],
                np.array([False]))
    assert quality.summary()['recall'] == 3 / 4


def test_box_quality_without_any_box():
    assert BoxQuality().summary() == {}


def test_mask_quality():
    quality = MaskQuality(3)
    truth = np.array([[0, 0, 1, 1], [0, 2, 2, 255]])
    pseudo = np.array([[0, 0, 1, 0], [0, 255, 2, 1]])
    quality.add(pseudo, truth)
    summary = quality.summary()
    assert summary['labelled'] == 6 / 7
    assert summary['accuracy'] == 5 / 6
    np.testing.assert_allclose(summary['mIoU'], (3 / 4 + 1 / 2 + 1) / 3)


def test_mask_quality_where_all_is_ignored():
    quality = MaskQuality(3)
    quality.add(np.full((2, 2), 255), np.zeros((2, 2), dtype=int))
    assert quality.summary() == {}
