# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes

from mmbombo.datasets import RandomZoomCrop, SeededIndex, seeded_draw
from mmbombo.datasets.transforms import random_zoom_crop

SIZE = 320


def make(boxes=None, seg_map=None, size=(SIZE, SIZE)):
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    # Where a pixel comes from can be read from its color.
    image = np.stack(
        [rows * 250 / height, columns * 250 / width,
         np.full(size, 200)], -1).astype(np.uint8)
    results = dict(img=image, img_shape=size)
    if boxes is not None:
        results.update(
            gt_bboxes=HorizontalBoxes(
                torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)),
            gt_bboxes_labels=np.arange(len(boxes)),
            gt_ignore_flags=np.arange(len(boxes)) % 2 == 1)
    if seg_map is not None:
        results['gt_seg_map'] = seg_map
    return results


def run(seed, *args, prob=1., **kwargs):
    with seeded_draw(SeededIndex(0, seed)):
        return RandomZoomCrop(prob)(make(*args, **kwargs))


def changed(results, **kwargs):
    return not np.array_equal(results['img'], make(**kwargs)['img'])


def fixed_window(monkeypatch, window):
    monkeypatch.setattr(random_zoom_crop, '_draw_window',
                        lambda size, shape: window)


def test_a_window_inside(monkeypatch):
    fixed_window(monkeypatch, (80, 40, 240, 200))
    seg_map = np.zeros((SIZE, SIZE), np.uint8)
    seg_map[100:120, 100:140] = 7
    results = run(0, [[100, 100, 140, 120], [0, 0, 60, 60]], seg_map)
    # twice as large, and the box outside is gone
    assert results['gt_bboxes'].tensor.tolist() == [[40, 120, 120, 160]]
    assert results['gt_bboxes_labels'].tolist() == [0]
    assert results['gt_ignore_flags'].tolist() == [False]
    expected = np.zeros((SIZE, SIZE), np.uint8)
    expected[120:160, 40:120] = 7
    np.testing.assert_array_equal(results['gt_seg_map'], expected)
    center = results['img'][160, 160].astype(float)
    assert abs(center - [120 * 250 / 320, 160 * 250 / 320, 200]).max() <= 1.5


def test_a_window_that_reaches_out(monkeypatch):
    fixed_window(monkeypatch, (-160, -80, 480, 560))
    seg_map = np.zeros((SIZE, SIZE), np.uint8)
    seg_map[0:100, 0:100] = 3
    results = run(0, [[0, 0, 100, 100]], seg_map)
    assert results['gt_bboxes'].tensor.tolist() == [[80, 40, 130, 90]]
    inside = np.zeros((SIZE, SIZE), bool)
    inside[40:200, 80:240] = True
    assert (results['gt_seg_map'][~inside] == 255).all()
    assert (results['gt_seg_map'][inside] != 255).all()
    assert (results['gt_seg_map'] == 3).sum() == 50 * 50
    away = np.ones((SIZE, SIZE), bool)
    away[38:202, 78:242] = False
    assert (results['img'][away] == 114).all()


def test_boxes_are_clipped_and_their_source_is_untouched(monkeypatch):
    fixed_window(monkeypatch, (64, 64, 256, 256))
    sample = make([[60, 100, 160, 200]])
    boxes = sample['gt_bboxes'].tensor
    with seeded_draw(SeededIndex(0, 0)):
        results = RandomZoomCrop(1.)(sample)
    moved = (np.array([64, 100, 160, 200]) - 64) * 320 / 192
    np.testing.assert_allclose(
        results['gt_bboxes'].tensor[0], moved, rtol=1e-6)
    assert boxes.tolist() == [[60, 100, 160, 200]]


@pytest.mark.parametrize('box, used', [
    ((64, 64, 100, 100), True),
    ((24, 100, 104, 150), False),  # half of it is visible
    ((54, 100, 94, 150), True),  # exactly .75
    ((57, 100, 97, 150), True),
    ((50, 100, 90, 150), False),  # .65
    ((0, 0, 50, 50), False),  # no center remains
])
def test_rejected_windows(monkeypatch, box, used):
    fixed_window(monkeypatch, (64, 64, 256, 256))
    assert changed(run(0, [box]), boxes=[box]) == used
    # one such box among others is enough to reject, but for its center
    both = [box, (120, 120, 200, 200)]
    assert changed(run(0, both)) == (used or box[2] == 50)


@pytest.mark.parametrize('span, used', [(9, False), (10, True)])
def test_windows_without_enough_foreground(monkeypatch, span, used):
    fixed_window(monkeypatch, (64, 64, 256, 256))
    for rows, columns in [(slice(100, 100 + span), slice(80, 200)),
                          (slice(80, 200), slice(256 - span, 300))]:
        seg_map = np.zeros((SIZE, SIZE), np.uint8)
        seg_map[rows, columns] = 5
        seg_map[200:, :20] = 255
        assert changed(run(0, None, seg_map)) == used


@pytest.mark.parametrize('kwargs', [
    dict(boxes=[]),
    dict(seg_map=np.zeros((SIZE, SIZE), np.uint8)),
    dict(seg_map=np.full((SIZE, SIZE), 255, np.uint8)),
    dict(boxes=[[10, 10, 60, 60]], seg_map=np.zeros((SIZE, SIZE), np.uint8)),
])
def test_nothing_to_show_leaves_the_image(kwargs):
    for seed in range(5):
        assert not changed(run(seed, **kwargs))


def test_windows_have_the_distribution_of_the_paper():
    with seeded_draw(SeededIndex(0, 1)):
        sizes = np.array([random_zoom_crop._draw_size() for _ in range(4000)])
        windows = np.array([
            random_zoom_crop._draw_window((1., 0.5), (200, 400))
            for _ in range(4000)
        ])
    width, height = sizes.T
    # U(.25, 1.75) and its mean; the ratio or its inverse is U(.5, 1)
    assert height.min() > .25 and height.max() < 1.75
    assert abs(height.mean() - 1) < 0.03
    ratio = width / height
    assert ratio.min() > .5 and ratio.max() < 2
    assert abs((ratio < 1).mean() - 0.5) < 0.03
    for squeeze in (ratio[ratio < 1], 1 / ratio[ratio >= 1]):
        assert abs(squeeze.mean() - 0.75) < 0.01
        assert abs(squeeze.std() - 0.5 / 12**0.5) < 0.01
    x1, y1, x2, y2 = windows.T
    assert ((x2 - x1) == 400).all() and ((y2 - y1) == 100).all()
    center = (x1 + x2) / 2 / 400, (y1 + y2) / 2 / 200
    for c in center:
        assert c.min() >= .395 and c.max() <= .605
        assert abs(c.mean() - .5) < .005


def test_probability_and_seed():
    kwargs = dict(boxes=[[100, 100, 220, 220]])
    hits = sum(
        changed(run(seed, prob=0.75, **kwargs)) for seed in range(400))
    # 5 sigma of a binomial; all but few windows can be used
    assert abs(hits - 300) < 44
    one, two, other = (run(seed, **kwargs)['img'] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize('sets, found', [
    ([[1, 0, 0], [0, 1, 0]], True),
    ([[1, 0, 0], [1, 1, 0]], False),  # the rest of a box shows nothing
    ([[1, 0, 1], [0, 1, 0]], True),
])
def test_of_a_pseudo_mask_objects_are_what_is_left_with_their_class(
        sets, found):
    seg_map = np.zeros((SIZE, SIZE), np.uint8)
    seg_map[100:200, 100:200] = 1
    results = make(seg_map=seg_map)
    results['pseudo_classes'] = np.array(sets, bool)
    foreground = random_zoom_crop._foreground(results)
    assert foreground.any() == found
    assert np.array_equal(foreground, (seg_map == 1) & found)
