# Copyright (c) mmbombo contributors.
import sys

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric

from mmbombo.evaluation import BoxAPMetric
from mmbombo.utils import UserError

CLASSES = ('cat', 'dog', 'bus')


def sample(img_id, truths, found, size=(120, 160)):
    """A sample dict; truths (x1, y1, x2, y2, label, ignored), found
    (x1, y1, x2, y2, label, score)."""
    found = np.array(found, dtype=np.float32).reshape(-1, 6)
    return dict(
        img_id=img_id,
        ori_shape=size,
        instances=[
            dict(
                bbox=list(t[:4]), bbox_label=int(t[4]), ignore_flag=int(t[5]))
            for t in truths
        ],
        pred_instances=dict(
            bboxes=torch.from_numpy(found[:, :4]),
            labels=torch.from_numpy(found[:, 4]).long(),
            scores=torch.from_numpy(found[:, 5])))


def evaluate(samples, metric=None, classes=CLASSES):
    metric = metric or BoxAPMetric(prefix='det')
    metric.dataset_meta = dict(classes=classes)
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def random_samples(seed, num=12):
    rng = np.random.default_rng(seed)
    samples = []
    for i in range(num):
        xy = rng.uniform(0, 80, (rng.integers(0, 5), 2))
        wh = rng.uniform(4, 60, xy.shape)
        label = rng.integers(0, 2, len(xy))  # no bus
        truths = [(*p, *(p + s), c, rng.random() < .2)
                  for p, s, c in zip(xy, wh, label)]
        found = [(*(np.array(t[:4]) + rng.normal(0, 3, 4)), t[4], rng.random())
                 for t in truths for _ in range(rng.integers(0, 3))]
        found += [(5, 5, 40, 30, rng.integers(0, 2), rng.random())]
        samples.append(sample(i, truths, found))
    return samples


@pytest.mark.parametrize('seed', [0, 1])
def test_agrees_with_coco_metric(seed):
    samples = random_samples(seed)
    ours = evaluate(samples)
    theirs = evaluate(samples, CocoMetric(prefix='det', classwise=True))
    for name in ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l'):
        key = f'det/bbox_{name}'
        assert ours[key] == pytest.approx(theirs[key], abs=5.1e-4), key
    for name in CLASSES:
        assert ours[f'det/{name}_AP'] == pytest.approx(
            theirs[f'det/{name}_precision'], abs=5.1e-4, nan_ok=True)
    assert 0 < ours['det/bbox_mAP'] < ours['det/bbox_mAP_50'] < 1
    assert np.isnan(ours['det/bus_AP50'])


def test_values_by_hand():
    # cat: one of two found -> precision 1 up to recall .5: 51 of 101 points.
    # dog: found at IoU .78, which the six thresholds .5 to .75 accept.
    samples = [
        sample('a', [(0, 0, 40, 40, 0, 0), (80, 0, 120, 40, 0, 0)],
               [(0, 0, 40, 40, 0, .9)]),
        sample('b', [(0, 0, 50, 20, 1, 0)], [(0, 0, 39, 20, 1, .9)]),
    ]
    result = evaluate(samples)
    assert result['det/cat_AP'] == pytest.approx(51 / 101)
    assert result['det/cat_AP50'] == pytest.approx(51 / 101)
    assert result['det/dog_AP50'] == pytest.approx(1)
    assert result['det/dog_AP'] == pytest.approx(.6)
    assert result['det/bbox_mAP_50'] == pytest.approx((1 + 51 / 101) / 2)
    assert result['det/bbox_mAP'] == pytest.approx(
        (result['det/cat_AP'] + result['det/dog_AP']) / 2)


def test_no_detection_at_all_is_zero_not_missing():
    samples = [sample('a', [(0, 0, 40, 40, 0, 0)], [])]
    result = evaluate(samples)
    assert result['det/bbox_mAP'] == 0
    assert result['det/bbox_mAP_50'] == 0
    assert result['det/bbox_mAP_m'] == 0
    assert result['det/cat_AP50'] == 0
    # The stock metric leaves the keys out, on which save_best dies.
    assert 'det/bbox_mAP' not in evaluate(samples, CocoMetric(prefix='det'))


def test_false_positive_on_empty_image_counts():
    hit = sample('a', [(0, 0, 40, 40, 0, 0)], [(0, 0, 40, 40, 0, .5)])
    alarm = sample('b', [], [(0, 0, 40, 40, 0, .9)])
    assert evaluate([hit])['det/cat_AP'] == pytest.approx(1)
    assert evaluate([hit, alarm])['det/cat_AP'] == pytest.approx(.5)


def test_ignored_boxes_are_neither_missed_nor_false():
    plain = sample('a', [(0, 0, 40, 40, 0, 0)], [(0, 0, 40, 40, 0, .5)])
    missed = sample('b', [(0, 0, 40, 40, 0, 1)], [])
    inside = sample('c', [(0, 0, 80, 80, 0, 1)], [(0, 0, 30, 30, 0, .9),
                                                  (40, 40, 70, 70, 0, .9)])
    assert evaluate([plain, missed, inside])['det/cat_AP'] == pytest.approx(1)


def test_same_id_in_two_sources_and_second_validation():
    first = sample('000001', [(0, 0, 40, 40, 0, 0)], [(0, 0, 40, 40, 0, .5)])
    other = sample('000001', [(50, 50, 90, 90, 0, 0)],
                   [(50, 50, 90, 90, 0, .5)])
    metric = BoxAPMetric(prefix='det')
    assert evaluate([first, other], metric)['det/cat_AP'] == pytest.approx(1)
    # Nothing of the first validation is left in the second.
    moved = sample('000001', [(0, 0, 40, 40, 1, 0)], [(60, 60, 80, 80, 1, .5)])
    result = evaluate([moved], metric)
    assert result['det/dog_AP'] == 0
    assert np.isnan(result['det/cat_AP'])


def test_no_ground_truth_box_in_the_whole_set():
    result = evaluate([sample('a', [], [(0, 0, 40, 40, 0, .9)])])
    assert result['det/bbox_mAP'] == -1


@pytest.mark.parametrize('seed', [0, 1])
def test_faster_coco_eval_gives_the_same(seed):
    pytest.importorskip('faster_coco_eval')
    samples = random_samples(seed)
    ours = evaluate(samples)
    fast = evaluate(samples,
                    BoxAPMetric(prefix='det', backend='faster_coco_eval'))
    assert fast == pytest.approx(ours, nan_ok=True)


def test_a_backend_that_is_unknown_or_not_installed(monkeypatch):
    with pytest.raises(ValueError, match="'slow'"):
        BoxAPMetric(backend='slow')
    monkeypatch.setitem(sys.modules, 'faster_coco_eval', None)
    with pytest.raises(UserError, match='pip install faster-coco-eval'):
        BoxAPMetric(backend='faster_coco_eval')
