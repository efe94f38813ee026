# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData

from mmbombo.evaluation.functional import (BoxQuality, ForegroundQuality,
                                           MaskQuality, connectivity)
from mmbombo.evaluation.pseudo_labels import (PseudoLabelQuality,
                                              ignored_objects)
from mmbombo.structures import ClassMap
from mmbombo.structures.candidate_map import CandidateMap


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


def test_box_quality_by_group():
    quality = BoxQuality()
    true = np.array([[0, 0, 32, 32], [32, 0, 64, 31], [0, 40, 96, 136.]])
    labels = np.array([0, 0, 1])
    pseudo = np.array([[0, 0, 64, 32], [0, 40, 96, 136], [0, 0, 5, 5.]])
    cases = np.array(['touching', 'touching', 'single'])
    # the second is found at an IoU of 31/64, the third is found
    quality.add(pseudo, np.array([0, 1, 1]), true, labels, cases,
                np.array([False, True, True]))
    groups = quality.by_group(('cat', 'dog', 'cow'))
    assert groups['all']['all'] == dict(
        objects=3, targets=3, precision=2 / 3, recall=2 / 3,
        mean_iou=(.5 + 31 / 64 + 1) / 3, ignored=1 / 3)
    assert groups['size']['small'] == dict(
        objects=1, targets=1, precision=0., recall=0., mean_iou=31 / 64,
        ignored=1.)
    assert groups['size']['medium']['objects'] == 1
    assert groups['size']['large'] == dict(
        objects=1, targets=1, precision=1., recall=1., mean_iou=1.,
        ignored=0.)
    # a target has the case of what it shows best; one that shows nothing none
    assert groups['case']['touching']['targets'] == 1
    assert groups['case']['touching']['precision'] == 1.
    assert groups['case']['single']['targets'] == 1
    assert groups['class']['dog']['precision'] == .5
    assert [*groups['class']] == ['cat', 'dog']


def test_foreground_quality():
    quality = ForegroundQuality()
    shows = np.zeros((256, 2), bool)
    shows[1, 0] = shows[2, 1] = True
    truth = np.array([[1, 1, 2, 0], [1, 255, 2, 0]])
    pseudo = np.array([[1, 0, 1, 0], [1, 1, 255, 2]])
    boxes = np.array([[0, 0, 2.6, 2], [2, 0, 4, 2.], [0.6, 0, 1.4, 1]])
    quality.add(pseudo, shows, truth, shows, boxes, np.array([0, 1, 0]),
                np.array(['single', 'single', 'occluded']))
    groups = quality.by_group(('cat', 'dog'))
    # 255 is not counted, nor a box without a pixel
    assert groups['class']['cat'] == dict(
        objects=2, mean_iou=2 / 4, precision=2 / 3, recall=2 / 3)
    assert groups['class']['dog'] == dict(
        objects=1, mean_iou=0., precision=0., recall=0.)
    assert groups['all']['all']['mean_iou'] == 1 / 4
    assert groups['case']['occluded'] == dict(objects=1)


def test_objects_in_ignored_regions():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [20, 0, 30, 10],
                      [0, 20, 10, 30.]])
    labels = np.array([0, 1, 0, 0])
    areas = np.array([[0, 0, 10, 5], [20, 0, 30, 4.]])
    classes = np.array([[True, False], [True, True]])
    unknown = np.zeros((40, 40), bool)
    unknown[25:30] = True
    ignored = ignored_objects(boxes, labels, areas, classes, unknown)
    assert ignored.tolist() == [True, False, False, True]
    assert not len(ignored_objects(boxes[:0], labels[:0], areas, classes,
                                   unknown))


@pytest.mark.parametrize('sets, found', [
    # any class of the label will do, a class of another will not
    ([[0, 1, 1, 0], [1, 1, 0, 0]], 1),
    ([[0, 1, 0, 1], [0, 0, 0, 1]], 0),
    # three of others
    ([[1, 0, 1, 1], [1, 1, 1, 1]], 0),
])
def test_sets_of_classes_that_show_an_object(sets, found):
    class_map = ClassMap(('vehicle', 'cat'),
                         ('background', 'car', 'bus', 'cat'),
                         det_to_seg=dict(vehicle=('car', 'bus')))
    quality = PseudoLabelQuality(class_map)
    truth = DetDataSample(gt_instances=InstanceData(
        bboxes=torch.tensor([[0., 0, 4, 4]]), labels=torch.tensor([0])))
    truth.gt_sem_seg = PixelData(sem_seg=torch.ones(1, 4, 4).long())
    numbers = torch.zeros(1, 1, 4, 4).long()
    numbers[..., 2:, :] = 1
    quality.add_mask(
        CandidateMap(numbers, torch.tensor(sets).bool()[None]), truth)
    values = quality.by_group()['b4m']['all']['all']
    assert values['recall'] == found / 2


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
    np.testing.assert_allclose(summary['precision'], (3 / 4 + 1 + 1) / 3)
    # a pixel without a label is missed
    np.testing.assert_allclose(summary['recall'], (1 + 1 / 2 + 1 / 2) / 3)


def test_classes_that_no_label_names_are_not_judged():
    quality = MaskQuality(3)
    quality.add(np.array([1, 1, 255, 0]), np.array([1, 2, 2, 0]))
    assert quality.class_ious() == {0: 1., 1: .5}
    assert quality.summary()['mIoU'] == .75


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
