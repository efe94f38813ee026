# Copyright (c) mmbombo contributors.
import numpy as np

from mmbombo.evaluation.functional import BoxQuality, MaskQuality, connectivity


def test_box_quality():
    quality = BoxQuality()
    true = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [50, 50, 60, 60.]])
    labels = np.array([1, 1, 2])
    cases = np.array(['touching', 'touching', 'single'])
    # one box around two objects, a right one, and a wrong class
    pseudo = np.array([[0, 0, 20, 10], [50, 50, 60, 60], [0, 0, 10, 10.]])
    quality.add(pseudo, np.array([1, 2, 2]), true, labels, cases)
    assert quality.summary() == dict(
        precision=2 / 3, recall=1., mean_iou=2 / 3, mean_iou_single=1.,
        mean_iou_touching=.5)
    quality.add(np.zeros((0, 4)), np.zeros(0), true[:1], labels[:1],
                np.array(['occluded']))
    assert quality.summary()['recall'] == 3 / 4
    assert quality.summary()['mean_iou_occluded'] == 0.


def test_connectivity():
    boxes = np.array([[0, 0, 10, 10], [10, 0, 21, 10], [50, 50, 90, 60],
                      [10, 0, 20, 10], [30, 30, 40, 40.]])
    labels = np.array([1, 1, 1, 2, 2])
    # two objects in one component (one sticks out by a rounded pixel), one
    # object in two pieces, and another class alone
    rects = np.array([[0, 0, 20, 10], [50, 50, 65, 60], [75, 50, 90, 60],
                      [10, 0, 20, 10.]])
    rect_labels = np.array([1, 1, 1, 2])
    assert connectivity(boxes, labels, rects, rect_labels).tolist() == [
        'touching', 'touching', 'occluded', 'single', 'occluded'
    ]
    nothing = connectivity(boxes[:1], labels[:1], rects[:0], rect_labels[:0])
    assert nothing.tolist() == ['occluded']


def test_box_quality_without_any_box():
    assert BoxQuality().summary() == {}


def test_mask_quality():
    quality = MaskQuality(3)
    truth = np.array([[0, 0, 1, 1], [0, 2, 2, 255]])
    pseudo = np.array([[0, 0, 1, 0], [0, 255, 2, 1]])
    quality.add(pseudo, truth)
    summary = quality.summary()
    assert summary['labeled'] == 6 / 7
    assert summary['accuracy'] == 5 / 6
    np.testing.assert_allclose(summary['mIoU'], (3 / 4 + 1 / 2 + 1) / 3)


def test_mask_quality_where_all_is_ignored():
    quality = MaskQuality(3)
    quality.add(np.full((2, 2), 255), np.zeros((2, 2), dtype=int))
    assert quality.summary() == {}


def test_pixels_that_are_left_with_several_classes():
    quality = MaskQuality(3)
    truth = np.array([0, 1, 2, 255, 0])
    quality.add(
        np.array([0, 255, 255, 255, 255]), truth,
        limited=np.array([1, 1, 1, 1, 0], bool),
        allowed=np.array([1, 1, 0, 1, 1], bool))
    summary = quality.summary()
    assert summary['labeled'] == 1 / 4 and summary['accuracy'] == 1.
    assert summary['limited'] == 2 / 4
    assert summary['limited_accuracy'] == 1 / 2
    only_sets = MaskQuality(3)
    only_sets.add(np.array([255]), np.array([1]), np.array([True]),
                  np.array([True]))
    assert only_sets.summary() == dict(limited=1., limited_accuracy=1.)
