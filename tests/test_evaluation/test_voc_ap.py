# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
import torch
from mmdet.evaluation import eval_map

from mmbombo.evaluation import VOCAPMetric
from mmbombo.evaluation.functional import box_ious
from mmbombo.testing import box_iou

CLASSES = ('cat', 'dog', 'bus')


def sample(truths, found):
    """truths (x1, y1, x2, y2, label, difficult), found (..., label, score)."""
    found = np.array(found, dtype=np.float32).reshape(-1, 6)
    return dict(
        img_id=0,
        ori_shape=(120, 160),
        instances=[
            dict(
                bbox=list(t[:4]), bbox_label=int(t[4]), ignore_flag=int(t[5]))
            for t in truths
        ],
        pred_instances=dict(
            bboxes=torch.from_numpy(found[:, :4]),
            labels=torch.from_numpy(found[:, 4]).long(),
            scores=torch.from_numpy(found[:, 5])))


def evaluate(samples, **kwargs):
    metric = VOCAPMetric(prefix='det', **kwargs)
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def random_samples(seed, num=12):
    """Several detections per object, some objects difficult; no bus."""
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(num):
        xy = rng.uniform(0, 80, (rng.integers(0, 6), 2))
        wh = rng.uniform(4, 60, xy.shape)
        truths = [(*p, *(p + s), rng.integers(2), rng.random() < .3)
                  for p, s in zip(xy, wh)]
        found = [(*(np.array(t[:4]) + rng.normal(0, 3, 4)), t[4], rng.random())
                 for t in truths for _ in range(rng.integers(0, 4))]
        found += [(5, 5, 40, 30, rng.integers(3), rng.random())]
        samples.append(sample(truths, found))
    return samples


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
@pytest.mark.parametrize('seed', [0, 1])
def test_agrees_with_a_slow_reference(seed, mode):
    samples = random_samples(seed)
    result = evaluate(samples, mode=mode)
    expected = np.array([[
        slow_ap(samples, label, threshold, mode)
        for threshold in np.arange(10, 20) / 20
    ] for label in (0, 1)])
    for name, row in zip(CLASSES, expected):
        assert result[f'det/{name}_AP'] == pytest.approx(row.mean(), abs=1e-6)
        assert result[f'det/{name}_AP50'] == pytest.approx(row[0], abs=1e-6)
    mean = expected.mean(axis=0)
    assert result['det/bbox_mAP'] == pytest.approx(mean.mean(), abs=1e-6)
    assert result['det/bbox_mAP_50'] == pytest.approx(mean[0], abs=1e-6)
    assert result['det/bbox_mAP_75'] == pytest.approx(mean[5], abs=1e-6)
    assert 0 < result['det/bbox_mAP_75'] < result['det/bbox_mAP_50'] < 1
    assert np.isnan(result['det/bus_AP'])


@pytest.mark.parametrize('mode', ['area', '11points'])
def test_agrees_with_mmdet(mode):
    samples = random_samples(2)
    found, truths = [], []
    for s in samples:
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
    result = evaluate(samples, mode=mode)
    assert result['det/bbox_mAP_50'] == pytest.approx(expected, abs=1e-6)


CAT = (0, 0, 40, 40, 0, 0)


@pytest.mark.parametrize('mode, expected',
                         [('area', 1 / 2 + 1 / 2 * 2 / 3),
                          ('11points', (6 + 5 * 2 / 3) / 11)])
def test_values_by_hand(mode, expected):
    # Right, wrong, right: precision 1 up to recall 1/2, then 2/3.
    samples = [
        sample([CAT, (80, 0, 120, 40, 0, 0)], [(0, 0, 40, 40, 0, .9),
                                               (0, 80, 40, 110, 0, .8),
                                               (80, 0, 120, 40, 0, .7)]),
    ]
    assert evaluate(
        samples, mode=mode)['det/cat_AP'] == pytest.approx(expected)


def test_a_second_detection_of_an_object_is_wrong():
    again = [(0, 0, 40, 40, 0, .9), (0, 0, 40, 39, 0, .8)]
    assert evaluate([sample([CAT], again)])['det/cat_AP'] == pytest.approx(1)
    # It takes the place of a right one: 1, 1/2, 2/3.
    other = sample([CAT], [(0, 0, 40, 40, 0, .7)])
    assert evaluate([sample([CAT], again),
                     other])['det/cat_AP50'] == pytest.approx(1 / 2 + 1 / 3)


def test_vocs_own_matching():
    """The best box decides: one that is taken is not passed over."""
    near = (10, 0, 50, 40, 0, 0)
    found = [(0, 0, 40, 40, 0, .9), (2, 0, 42, 40, 0, .8)]
    # COCO would give the second one to `near` (IoU 2/3).
    assert evaluate([sample([CAT, near],
                            found)])['det/cat_AP50'] == pytest.approx(1 / 2)


def test_difficult_objects_do_not_count():
    hard = (80, 0, 120, 40, 0, 1)
    on_it = [(80, 0, 120, 40, 0, .9), (81, 0, 120, 40, 0, .8)]
    right = (0, 0, 40, 40, 0, .5)
    result = evaluate([sample([CAT, hard], [*on_it, right])])
    assert result['det/cat_AP'] == pytest.approx(1)
    assert evaluate([sample([CAT, hard], [right])])['det/cat_AP'] == 1
    # A class whose objects are all difficult has no AP.
    result = evaluate([sample([CAT, (80, 0, 120, 40, 1, 1)], [right])])
    assert np.isnan(result['det/dog_AP']) and result['det/bbox_mAP'] == 1


def test_an_overlap_of_exactly_the_threshold_counts():
    # 40 x 28 of 40 x 40: IoU 0.7, which float32 and 0.5 + 4 * 0.05 miss.
    result = evaluate([sample([CAT], [(0, 0, 40, 28, 0, .9)])])
    assert result['det/cat_AP'] == pytest.approx(5 / 10)


def test_nothing_found_and_nothing_to_find():
    assert evaluate([sample([CAT], [])])['det/bbox_mAP'] == 0
    empty = evaluate([sample([], [(0, 0, 40, 40, 0, .9)])])
    assert empty['det/bbox_mAP'] == empty['det/bbox_mAP_50'] == -1


def test_table_has_the_names_and_counts(monkeypatch):
    lines = []
    monkeypatch.setattr('mmbombo.evaluation.metrics.voc_ap.print_log',
                        lambda text, logger: lines.extend(text.splitlines()))
    evaluate([
        sample([CAT, (80, 0, 120, 40, 1, 0), (0, 50, 9, 59, 1, 1)],
               [(0, 0, 40, 40, 0, .9), (0, 0, 9, 9, 2, .2)])
    ])
    rows = [[cell.strip() for cell in line.strip('|').split('|')]
            for line in lines if line.startswith('|')]
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
