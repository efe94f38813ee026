# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
from mmdet.evaluation import eval_map
from toolbox import box_iou

from mmbombo.evaluation import VOCAPMetric
from mmbombo.evaluation.functional import box_ious

CLASSES = ('cat', 'dog', 'bus')
CAT, HARD = (0, 0, 40, 40, 0, 0), (80, 0, 120, 40, 0, 1)
RIGHT = (0, 0, 40, 40, 0, .5)


@pytest.fixture
def ap_of(evaluate, box_sample):
    """Results for images, each its truths and what is found."""

    def run(*images, **kwargs):
        return evaluate(
            VOCAPMetric(prefix='det', **kwargs),
            [box_sample(*image) for image in images])

    return run


def slow_ap(samples, label, threshold, mode):
    """The development kit's procedure, one detection after the other."""
    truths = [[(t['bbox'], t['ignore_flag']) for t in s['instances']
               if t['bbox_label'] == label] for s in samples]
    found = [
        (float(score), i, box.double().tolist()) for i, s in enumerate(samples)
        for box, score, own in zip(*(s['pred_instances'][k]
                                     for k in ('bboxes', 'scores', 'labels')))
        if own == label
    ]
    positives = sum(not hard for image in truths for _, hard in image)
    taken, right, wrong, curve = set(), 0, 0, []
    for _, image, box in sorted(found, key=lambda x: -x[0]):
        overlaps = [box_iou(box, t) for t, _ in truths[image]] or [0.]
        best = int(np.argmax(overlaps))
        if overlaps[best] >= threshold:
            if truths[image][best][1]:
                continue
            if (image, best) in taken:
                wrong += 1
            else:
                right += 1
                taken.add((image, best))
        else:
            wrong += 1
        curve.append((right / positives, right / (right + wrong)))
    if mode == '11points':
        return np.mean([
            max([p for r, p in curve if r >= point], default=0.)
            for point in np.arange(0, 1.01, .1)
        ])
    area, last = 0., 0.
    for k, (recall, _) in enumerate(curve):
        area += (recall - last) * max(p for _, p in curve[k:])
        last = recall
    return area


@pytest.mark.parametrize('mode', ['area', '11points'])
def test_agrees_with_a_slow_reference(random_samples, mode, evaluate):
    result = evaluate(VOCAPMetric(prefix='det', mode=mode), random_samples)
    expected = np.array([[
        slow_ap(random_samples, label, threshold, mode)
        for threshold in np.arange(10, 20) / 20
    ] for label in (0, 1)])
    for name, row in zip(CLASSES, expected):
        assert result[f'det/{name}_AP'] == pytest.approx(row.mean(), abs=1e-6)
        assert result[f'det/{name}_AP50'] == pytest.approx(row[0], abs=1e-6)
    mean = expected.mean(axis=0)
    for name, value in (('', mean.mean()), ('_50', mean[0]), ('_75', mean[5])):
        assert result[f'det/bbox_mAP{name}'] == pytest.approx(value, abs=1e-6)
    assert 0 < result['det/bbox_mAP_75'] < result['det/bbox_mAP_50'] < 1
    assert np.isnan(result['det/bus_AP'])


@pytest.mark.parametrize('mode', ['area', '11points'])
def test_agrees_with_mmdet(random_samples, mode, evaluate):
    found, truths = [], []
    for s in random_samples:
        pred = {k: v.numpy() for k, v in s['pred_instances'].items()}
        rows = np.c_[pred['bboxes'], pred['scores']]
        found.append([rows[pred['labels'] == i] for i in range(3)])
        boxes = np.array([t['bbox'] for t in s['instances']]).reshape(-1, 4)
        labels = np.array([t['bbox_label'] for t in s['instances']], int)
        hard = np.array([t['ignore_flag'] for t in s['instances']], bool)
        truths.append(
            dict(
                bboxes=boxes[~hard],
                labels=labels[~hard],
                bboxes_ignore=boxes[hard],
                labels_ignore=labels[hard]))
    expected, _ = eval_map(
        found, truths, iou_thr=.5, nproc=1, logger='silent', eval_mode=mode)
    result = evaluate(VOCAPMetric(prefix='det', mode=mode), random_samples)
    assert result['det/bbox_mAP_50'] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('mode, expected',
                         [('area', 1 / 2 + 1 / 2 * 2 / 3),
                          ('11points', (6 + 5 * 2 / 3) / 11)])
def test_values_by_hand(mode, expected, ap_of):
    # Right, wrong, right: precision 1 up to recall 1/2, then 2/3.
    image = ([CAT, (80, 0, 120, 40, 0, 0)], [(0, 0, 40, 40, 0, .9),
                                             (0, 80, 40, 110, 0, .8),
                                             (80, 0, 120, 40, 0, .7)])
    assert ap_of(image, mode=mode)['det/cat_AP'] == pytest.approx(expected)


AGAIN = [(0, 0, 40, 40, 0, .9), (0, 0, 40, 39, 0, .8)]


@pytest.mark.parametrize(
    'images, name, ap',
    [
        # a second detection of an object is wrong
        ([([CAT], AGAIN)], 'cat_AP', 1),
        # and takes the place of a right one: 1, 1/2, 2/3
        ([([CAT], AGAIN),
          ([CAT], [(0, 0, 40, 40, 0, .7)])], 'cat_AP50', 1 / 2 + 1 / 3),
        # the best box decides, one that is taken is not passed over: COCO
        # would give the second detection to the second object (IoU 2/3)
        ([([CAT, (10, 0, 50, 40, 0, 0)], [(0, 0, 40, 40, 0, .9),
                                          (2, 0, 42, 40, 0, .8)])],
         'cat_AP50', 1 / 2),
        # difficult objects do not count, found or not
        ([([CAT, HARD], [(80, 0, 120, 40, 0, .9), (81, 0, 120, 40, 0, .8),
                         RIGHT])], 'cat_AP', 1),
        ([([CAT, HARD], [RIGHT])], 'cat_AP', 1),
        # 40 x 28 of 40 x 40: IoU 0.7, which float32 and 0.5 + 4 * 0.05 miss
        ([([CAT], [(0, 0, 40, 28, 0, .9)])], 'cat_AP', 5 / 10),
        # nothing found, and nothing to find
        ([([CAT], [])], 'bbox_mAP', 0),
        ([([], [RIGHT])], 'bbox_mAP', -1),
        ([([], [RIGHT])], 'bbox_mAP_50', -1),
    ])
def test_what_counts(images, name, ap, ap_of):
    assert ap_of(*images)[f'det/{name}'] == pytest.approx(ap)


def test_a_class_whose_objects_are_all_difficult_has_no_ap(ap_of):
    result = ap_of(([CAT, (80, 0, 120, 40, 1, 1)], [RIGHT]))
    assert np.isnan(result['det/dog_AP']) and result['det/bbox_mAP'] == 1


def test_table_has_the_names_and_counts(monkeypatch, ap_of):
    lines = []
    monkeypatch.setattr('mmbombo.evaluation.metrics.voc_ap.print_log',
                        lambda text, logger: lines.extend(text.splitlines()))
    ap_of(([CAT, (80, 0, 120, 40, 1, 0),
            (0, 50, 9, 59, 1, 1)], [RIGHT, (0, 0, 9, 9, 2, .2)]))
    rows = [line.strip('|').replace('|', ' ').split() for line in lines
            if line.startswith('|')]
    assert rows[1:] == [['cat', '1', '1', '1.000', '1.000', '1.000'],
                        ['dog', '1', '0', '0.000', '0.000', '0.000'],
                        ['bus', '0', '1', 'nan', 'nan', 'nan']]


def test_inclusive_pixels_give_the_same_iou_as_edges():
    a, b = np.array([[3, 5, 20, 30]]), np.array([[8, 2, 25, 21], [0, 0, 2, 2]])
    pixels = [boxes - [0, 0, 1, 1] for boxes in (a, b)]
    np.testing.assert_allclose(
        box_ious(*pixels, inclusive=True), box_ious(a, b))
    np.testing.assert_allclose(box_ious(a, b), [[box_iou(a[0], b[0]), 0]])


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match="'12points'"):
        VOCAPMetric(mode='12points')
