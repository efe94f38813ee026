# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
from mmdet.evaluation import CocoMetric

from mmbombo.evaluation import BoxAPMetric

CAT, HIT = (0, 0, 40, 40, 0, 0), (0, 0, 40, 40, 0, .5)


def make_metric(**kwargs):
    return BoxAPMetric(prefix='det', **kwargs)


def test_agrees_with_coco_metric(random_samples, evaluate):
    ours = evaluate(make_metric(), random_samples)
    theirs = evaluate(CocoMetric(prefix='det', classwise=True), random_samples)
    for name in ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l'):
        key = f'det/bbox_{name}'
        assert ours[key] == pytest.approx(theirs[key], abs=5.1e-4), key
    for name in ('cat', 'dog', 'bus'):
        assert ours[f'det/{name}_AP'] == pytest.approx(
            theirs[f'det/{name}_precision'], abs=5.1e-4, nan_ok=True)
    assert 0 < ours['det/bbox_mAP'] < ours['det/bbox_mAP_50'] < 1
    assert np.isnan(ours['det/bus_AP50'])
    for size in 'sm':
        assert ours[f'det/bbox_mAP_{size}'] == pytest.approx(
            np.mean([ours[f'det/{x}_AP_{size}'] for x in ('cat', 'dog')]))


def test_values_by_hand(box_sample, evaluate):
    # cat: one of two found -> precision 1 up to recall .5: 51 of 101 points.
    # dog: found at IoU .78, which the six thresholds .5 to .75 accept.
    result = evaluate(make_metric(), [
        box_sample([CAT, (80, 0, 120, 40, 0, 0)], [HIT]),
        box_sample([(0, 0, 50, 20, 1, 0)], [(0, 0, 39, 20, 1, .9)]),
    ])
    assert result['det/cat_AP'] == pytest.approx(51 / 101)
    assert result['det/cat_AP50'] == pytest.approx(51 / 101)
    assert result['det/dog_AP50'] == pytest.approx(1)
    assert result['det/dog_AP'] == pytest.approx(.6)
    assert result['det/bbox_mAP_50'] == pytest.approx((1 + 51 / 101) / 2)
    assert result['det/bbox_mAP'] == pytest.approx(
        (result['det/cat_AP'] + result['det/dog_AP']) / 2)


def test_no_detection_at_all_is_zero_not_missing(box_sample, evaluate):
    samples = [box_sample([CAT], [])]
    result = evaluate(make_metric(), samples)
    for name in ('bbox_mAP', 'bbox_mAP_50', 'bbox_mAP_m', 'cat_AP50'):
        assert result[f'det/{name}'] == 0
    # The stock metric leaves the keys out, on which save_best dies.
    theirs = evaluate(CocoMetric(prefix='det'), samples)
    assert 'det/bbox_mAP' not in theirs


@pytest.mark.parametrize(
    'images, ap',
    [
        ([([CAT], [HIT])], 1),
        # a false alarm on an empty image counts
        ([([CAT], [HIT]), ([], [(0, 0, 40, 40, 0, .9)])], .5),
        # ignored boxes are neither missed nor are detections in them false
        ([([CAT], [HIT]), ([(0, 0, 40, 40, 0, 1)], []),
          ([(0, 0, 80, 80, 0, 1)], [(0, 0, 30, 30, 0, .9),
                                    (40, 40, 70, 70, 0, .9)])], 1),
        # the same id in two sources
        ([([CAT], [HIT]),
          ([(50, 50, 90, 90, 0, 0)], [(50, 50, 90, 90, 0, .5)])], 1),
        # nothing to find
        ([([], [HIT])], -1),
    ])
def test_what_counts(images, ap, box_sample, evaluate):
    samples = [box_sample(*image) for image in images]
    result = evaluate(make_metric(), samples)
    assert result['det/bbox_mAP'] == pytest.approx(ap)


def test_nothing_is_left_for_the_second_validation(box_sample, evaluate):
    metric = make_metric()
    evaluate(metric, [box_sample([CAT], [HIT])])
    moved = box_sample([(0, 0, 40, 40, 1, 0)], [(60, 60, 80, 80, 1, .5)])
    result = evaluate(metric, [moved])
    assert result['det/dog_AP'] == 0
    assert np.isnan(result['det/cat_AP'])
