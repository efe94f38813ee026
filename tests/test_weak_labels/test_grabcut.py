# Copyright (c) mmbombo contributors.
"""``grabcut_foreground``: what it finds, and what it does not depend on."""
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from toolbox import class_ids

from mmbombo.weak_labels import boxes_to_mask
from mmbombo.weak_labels.grabcut import (_cut, _radius, center,
                                         grabcut_foreground)


def picture(height, width, *shapes, seed=0):
    """Orange shapes on a blueish noise, and where they are.

    Args:
        shapes: (draw, position and size arguments) of OpenCV functions.
    """
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 140, (height, width, 3)) + [80, 0, -60]
    truth = np.zeros((height, width), np.uint8)
    for draw, *args in shapes:
        draw(truth, *args, 1, -1)
    image[truth > 0] = rng.integers(0, 40, ((truth > 0).sum(), 3)) + [
        10, 120, 210
    ]
    return image.clip(0, 255).astype(np.uint8), truth > 0


def tight_box(truth):
    ys, xs = np.where(truth)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])


def inside(array, rect):
    return array[rect[1]:rect[3], rect[0]:rect[2]]


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def paint(image, boxes, method, labels=0):
    """The mask of boxes whose labels 0 and 1 have the ids 3 and 1."""
    ids = np.arange(4)[:, None]
    mask = boxes_to_mask(image, np.array(boxes, float),
                         np.zeros(len(boxes), int) + labels,
                         np.zeros(len(boxes), bool), ids == [3, 1],
                         ids[:, 0] == 0, method, 'ignore')
    return class_ids(*mask)


@pytest.mark.parametrize('scale', [.3, 1, 3])
def test_finds_two_joined_shapes_at_any_size(scale):
    def length(*values):
        return tuple(round(v * scale) for v in values)

    image, truth = picture(*length(160, 200), (
        cv2.rectangle, length(40, 40), length(150, 70)), (
            cv2.circle, length(70, 90), *length(35)))
    rect = tight_box(truth)
    found = grabcut_foreground(image, rect)
    assert iou(found, inside(truth, rect)) > .94
    # painted: the rest is background, or ignored
    for method, rest in (('grabcut', 0), ('grabcut_ignore', 255)):
        mask = paint(image, [rect], method)
        np.testing.assert_array_equal(
            inside(mask, rect), np.where(found, 3, rest))
        assert np.count_nonzero(mask) == np.count_nonzero(inside(mask, rect))


def test_the_large_class_is_kept_around_the_small_one():
    """A small disc before a large one of another class."""
    image, _ = picture(100, 140, (cv2.circle, (70, 50), 40))
    cv2.circle(image, (70, 50), 9, (40, 230, 40), -1)
    mask = paint(image, [[30, 10, 111, 91], [61, 41, 80, 60]],
                 'grabcut_ignore', [0, 1])
    assert mask[50, 70] == 1
    assert mask[42, 62] == 3, 'corner of the small box shows the large disc'


@pytest.mark.parametrize('size', [(12, 12), (13, 40), (1, 30)])
@pytest.mark.parametrize('noise', [0, 255])
def test_hard_pixels_do_not_fail(size, noise):
    rng = np.random.default_rng(0)
    image = rng.integers(0, noise + 1, (*size, 3)).astype(np.uint8)
    for box in ([0, 0, size[1] - 1, size[0]], [1, 1, 11, 11],
                [-5, -5, 100, 100]):
        assert paint(image, [box], 'grabcut_ignore').shape == size


@pytest.mark.parametrize('contrast, noise', [(20, 15), (40, 30)])
def test_collapse_is_cut_again_around_the_center(contrast, noise):
    """A pale disc and a bright spot in the corner of the box."""
    rng = np.random.default_rng(0)
    image = rng.normal((130, 110, 90), noise, (160, 160, 3))
    truth = np.zeros((160, 160), np.uint8)
    cv2.circle(truth, (80, 80), 26, 1, -1)
    image[truth > 0] += [-contrast, 0, contrast]
    image[48:58, 48:58] = (30, 230, 30)
    image = image.clip(0, 255).astype(np.uint8)

    rect = np.array([44, 44, 116, 116])
    once = inside(_cut(image, rect, 1, min_extent=0), rect)
    assert once[4:14, 4:14].all() and once.sum() < 150, 'only the spot'
    for again in (inside(_cut(image, rect, 1, min_extent=.5), rect),
                  grabcut_foreground(image, rect)):
        assert iou(again, inside(truth > 0, rect)) > .9


@pytest.mark.parametrize('collapses', [False, True])
def test_each_cut_starts_anew_from_the_same_seed(monkeypatch, collapses):
    """The second one from the whole box, its center being certain."""
    calls = []

    def grabcut(image, trimap, rect, background, foreground, *options):
        assert rect is None and options == (2, cv2.GC_INIT_WITH_MASK)
        assert not background.any() and not foreground.any()
        background += 1
        foreground += 1
        calls.append(trimap.copy())
        if collapses:
            trimap[trimap == cv2.GC_PR_FGD] = cv2.GC_PR_BGD

    monkeypatch.setattr(cv2, 'setRNGSeed', calls.append)
    monkeypatch.setattr(cv2, 'grabCut', grabcut)
    rect = np.array([5, 4, 25, 16])
    found = _cut(np.zeros((20, 30, 3), np.uint8), rect, 2, min_extent=.5)
    whole = np.full((20, 30), cv2.GC_BGD, np.uint8)
    inside(whole, rect)[:] = cv2.GC_PR_FGD
    wanted, certain = [0, whole], whole == cv2.GC_PR_FGD
    if collapses:
        again = whole.copy()
        inside(again, center(rect))[:] = cv2.GC_FGD
        wanted, certain = [0, whole, 0, again], again == cv2.GC_FGD
    assert len(calls) == len(wanted)
    for call, expected in zip(calls, wanted):
        np.testing.assert_array_equal(call, expected)
    np.testing.assert_array_equal(found, certain)


def test_moves_with_the_image():
    image, truth = picture(90, 120, (cv2.circle, (50, 40), 18))
    rect = tight_box(truth)
    expected = grabcut_foreground(image, rect)
    moved = np.roll(image, (17, 30), axis=(0, 1))
    found = grabcut_foreground(moved, rect + [30, 17, 30, 17])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('size', [(4, 4), (9, 30), (12, 7), (24, 24)])
def test_small_discs_are_better_than_their_boxes(size):
    """Pale and blurred, as small objects of photographs are."""
    found, boxes = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        truth = np.zeros((50, 60), np.float32)
        y, x = size
        truth[10:10 + y, 12:12 + x] = _radius(y, x) < 1
        image = 110 + 60 * cv2.blur(truth, (3, 3))[..., None] + rng.normal(
            0, 25, (50, 60, 3))
        rect = np.array([12, 10, 12 + x, 10 + y])
        disc = inside(truth > 0, rect)
        image = image.clip(0, 255).astype(np.uint8)
        found.append(iou(grabcut_foreground(image, rect), disc))
        boxes.append(disc.mean())
    assert np.mean(found) > np.mean(boxes)


@pytest.mark.parametrize('rect', [
    [0, 0, 60, 50],  # the whole image: nothing known is background
    [5, 5, 6, 6],
    [5, 5, 7, 7],
])
def test_whole_box_where_nothing_can_be_learned(rect):
    image, _ = picture(50, 60, (cv2.circle, (30, 25), 12))
    assert grabcut_foreground(image, np.array(rect)).all()


def test_does_not_depend_on_what_was_cut_before_or_on_threads():
    rng = np.random.default_rng(5)
    scenes = []
    for seed in range(6):
        image, _ = picture(
            150, 150, (cv2.circle, (70, 80), 20 + 6 * seed), seed=seed)
        noise = rng.integers(-40, 40, image.shape)
        image = (image + noise).clip(0, 255).astype(np.uint8)
        scenes.append((image, np.array([10, 15, 140, 140])))
    expected = [grabcut_foreground(*scene) for scene in scenes]
    assert not all(found.all() for found in expected)

    cv2.setRNGSeed(99)
    threads = cv2.getNumThreads()
    try:
        for number in (1, 3):
            cv2.setNumThreads(number)
            with ThreadPoolExecutor(4) as pool:
                found = pool.map(lambda scene: grabcut_foreground(*scene),
                                 scenes[::-1] * 2)
            for a, b in zip(found, expected[::-1] * 2):
                np.testing.assert_array_equal(a, b)
    finally:
        cv2.setNumThreads(threads)


def test_center_is_a_fifth_in_the_middle():
    x1, y1, x2, y2 = center(np.array([10, 20, 110, 100]))
    assert (x2 - x1) * (y2 - y1) == pytest.approx(.2 * 8000, rel=.03)
    assert (x1 + x2, y1 + y2) == (pytest.approx(120, abs=1),
                                  pytest.approx(120, abs=1))
    np.testing.assert_array_equal(center(np.array([4, 4, 5, 5])),
                                  [4, 4, 5, 5])
