# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toolbox import class_ids

from mmbombo.weak_labels import METHODS as ALL_METHODS
from mmbombo.weak_labels import boxes_to_mask, check_method

IGNORED = 255
# those that need no network
METHODS = {x: y for x, y in ALL_METHODS.items() if not x.startswith('sam')}
# Label 0 -> id 3, label 1 -> id 1, label 2 is not segmented.
DET_TO_SEG = np.array([3, 1, -1])
NUM_CLASSES = 5


def shows(det_to_seg, num_classes=NUM_CLASSES):
    """``compatible`` (S, D) of labels with one segmentation id or none."""
    return np.arange(num_classes)[:, None] == det_to_seg


def one_hot(seg_id, num_classes=NUM_CLASSES):
    return np.arange(num_classes) == seg_id


def make(image, boxes, labels=None, flags=None, method='box', outside_id=0,
         rejected='ignore', **options):
    """A mask in which all sets are of one class, as class ids."""
    labels = np.zeros(len(boxes), int) if labels is None else labels
    flags = np.zeros(len(boxes), bool) if flags is None else flags
    mask = boxes_to_mask(image, np.array(boxes, dtype=np.float32), labels,
                         flags, shows(DET_TO_SEG), one_hot(outside_id),
                         method, rejected, **options)
    assert (mask.classes.sum(axis=1) == 1).all()
    return class_ids(*mask)


def reference_box(shape, boxes, labels, flags, outside_id):
    """The definition of ``box``, pixel by pixel: the smallest box is seen.

    Of equally large ones, that with the largest y2, then x2, y1, x1, id.
    """
    mask = np.full(shape, outside_id, np.uint8)
    for y in range(shape[0]):
        for x in range(shape[1]):
            over = []
            for (x1, y1, x2, y2), label, flag in zip(boxes, labels, flags):
                if x1 <= x + .5 < x2 and y1 <= y + .5 < y2:
                    seg = IGNORED if flag else DET_TO_SEG[label] % 256
                    over.append((-(x2 - x1) * (y2 - y1), y2, x2, y1, x1, seg))
            if over:
                mask[y, x] = max(over)[-1]
    return mask


@st.composite
def annotations(draw):
    """Boxes on a grid of half pixels, some outside, inverted sides not."""
    num = draw(st.integers(0, 5))
    boxes, labels, flags = [], [], []
    for _ in range(num):
        x1 = draw(st.integers(-4, 36)) / 2
        y1 = draw(st.integers(-4, 28)) / 2
        boxes.append((x1, y1, x1 + draw(st.integers(1, 30)) / 2,
                      y1 + draw(st.integers(1, 30)) / 2))
        labels.append(draw(st.integers(0, 2)))
        flags.append(draw(st.integers(0, 4)) == 0)
    return np.array(boxes).reshape(-1, 4), np.array(labels, int), np.array(
        flags, bool)


@settings(max_examples=80)
@given(annotations(), st.sampled_from([0, 255]))
def test_box_is_what_its_definition_says(data, outside_id):
    image = np.zeros((14, 18, 3), np.uint8)
    mask = make(image, *data, outside_id=outside_id)
    np.testing.assert_array_equal(
        mask, reference_box((14, 18), *data, outside_id))


@settings(max_examples=50)
@given(annotations(), st.sampled_from(sorted(METHODS)), st.booleans(),
       st.randoms())
def test_invariants(data, method, structured, random):
    """Masks stay in their boxes, show their classes and ignore the order."""
    boxes, labels, flags = data
    boxes = boxes * 2
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (28, 36, 3)).astype(np.uint8)
    if structured:
        image //= 8
        image[6:20, 8:22] += 180
    mask = make(image, boxes, labels, flags, method)

    inside = reference_box((28, 36), boxes, 0 * labels, 0 * flags, 0) > 0
    assert (mask[~inside] == 0).all()
    certain = ~flags & (labels < 2)
    allowed = {0, IGNORED, *DET_TO_SEG[labels[certain]]}
    assert set(np.unique(mask)) <= allowed
    if method == 'grabcut_ignore' or method == 'box_i':
        assert (mask[inside] != 0).all()
    for seg_id in (3, 1):
        own = certain & (DET_TO_SEG[labels] == seg_id)
        over = reference_box((28, 36), boxes[own], labels[own], flags[own], 0)
        assert (over[mask == seg_id] > 0).all()
    # Difficult boxes and classes without id are never background or class,
    # but for what a smaller box on top of them paints.
    for box in boxes[~certain]:
        area = np.prod(box[2:] - box[:2])
        smaller = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) <= area
        this = reference_box((28, 36), [box], [0], [0], 0) > 0
        above = reference_box((28, 36), boxes[smaller & certain],
                              labels[smaller & certain],
                              flags[smaller & certain], 0) > 0
        assert (mask[this & ~above] == IGNORED).all()

    order = list(range(len(boxes)))
    random.shuffle(order)
    np.testing.assert_array_equal(
        mask, make(image, boxes[order], labels[order], flags[order], method))


def test_fractional_box_holds_the_pixels_whose_center_it_holds():
    image = np.zeros((4, 6, 3), np.uint8)
    mask = make(image, [[1.5, 0.49, 4.51, 2.5]])
    expected = np.zeros((4, 6), np.uint8)
    expected[0:2, 1:5] = 3
    np.testing.assert_array_equal(mask, expected)
    assert make(image, [[1.6, 1.0, 2.4, 3.0]]).max() == 0


@pytest.mark.parametrize('order', [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_small_boxes_are_painted_over_large_ones(order):
    """Of equally large ones, the one of larger y2, then x2, y1, x1."""
    image = np.zeros((20, 20, 3), np.uint8)
    equal = np.array([[0, 4, 8, 8], [4, 0, 8, 8], [2, 2, 10, 6]])[order]
    found = make(image, equal, np.array([0, 1, 1])[order],
                 np.array([False, False, True])[order])
    assert (found[5, 5], found[5, 1], found[2, 6], found[3, 3]) == (
        3, 3, 1, IGNORED)
    boxes = np.array([[0, 0, 20, 20], [2, 2, 12, 12], [4, 4, 8, 8]])[order]
    labels = np.array([0, 1, 0])[order]
    flags = np.array([False, False, True])[order]
    mask = make(image, boxes, labels, flags)
    assert (mask[0, 0], mask[3, 3], mask[5, 5]) == (3, 1, IGNORED)


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('box', [
    [3.6, 1, 4.4, 6], [1, 3.6, 6, 4.4], [3, 2, 3, 6], [5, 2, 3, 6],
    [-9, 0, -1, 4], [20, 0, 30, 4], [2, -9, 6, 0]])
def test_a_box_without_a_pixel_paints_nothing(method, box):
    assert not make(np.zeros((9, 12, 3), np.uint8), [box],
                    method=method).any()


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('box', [[2, 1, 3, 6], [2, 1, 7, 2], [2.4, 1, 3.4, 6]])
def test_a_box_one_pixel_thick_is_painted(method, box):
    mask = make(np.zeros((9, 12, 3), np.uint8), [box], method=method)
    x1, y1, x2, y2 = map(int, box)
    inside = mask[y1:y2, x1:x2].flatten()
    # a fifth of five pixels is rounded to two in a row
    wanted = [255, 3, 3, 255, 255] if method == 'box_i' else [3] * 5
    assert inside.tolist() == wanted and (mask != 0).sum() == 5


def test_box_i_trusts_a_fifth_of_the_box():
    mask = make(np.zeros((120, 120, 3), np.uint8), [[10, 20, 110, 100]],
                method='box_i')
    rows, cols = np.where(mask == 3)
    assert abs((mask == 3).sum() / (100 * 80) - .2) < .005
    assert (rows.min() + rows.max() + 1) / 2 == pytest.approx(60, abs=.5)
    assert (cols.min() + cols.max() + 1) / 2 == pytest.approx(60, abs=.5)
    assert (mask == IGNORED).sum() + (mask == 3).sum() == 100 * 80
    assert (make(np.zeros((9, 9, 3), np.uint8), [[4, 4, 5, 5]],
                 method='box_i') == 3).sum() == 1


def test_no_boxes():
    image = np.zeros((5, 7, 3), np.uint8)
    for method in METHODS:
        assert (make(image, np.zeros((0, 4)), method=method) == 0).all()
        assert (make(image, np.zeros((0, 4)), method=method,
                     outside_id=255) == 255).all()


@pytest.mark.parametrize('change, message', [
    (dict(method='magic'), 'magic'),
    (dict(image=np.zeros((5, 5), np.uint8)), r'\(H, W, 3\)'),
    (dict(image=np.zeros((5, 5, 3), np.float32)), 'float32'),
    (dict(boxes=[[0, 0, np.nan, 1]]), 'finite'),
])
def test_bad_input(change, message):
    good = dict(image=np.zeros((5, 5, 3), np.uint8), boxes=[[0, 0, 2, 2]])
    with pytest.raises(ValueError, match=message):
        make(**{**good, **change})


@pytest.mark.parametrize('method, options, message', [
    ('cut', {}, 'unknown pseudo mask method'),
    ('box', dict(iterations=2), 'it has \\[\\]'),
    ('grabcut_ignore', dict(iteration=2), "it has \\['iterations', 'margin'")
])
def test_what_a_method_does_not_know_is_refused(method, options, message):
    with pytest.raises(ValueError, match=message):
        check_method(method, options=options)


def test_id_0_is_a_class_where_there_is_no_background():
    mask = boxes_to_mask(
        np.zeros((4, 4, 3), np.uint8), np.array([[0., 0., 2., 4.]]),
        np.array([0]), np.array([False]), shows([0], 2), np.zeros(2, bool),
        'box')
    assert class_ids(*mask)[:, :2].tolist() == [[0, 0]] * 4
    assert (mask.numbers[:, 2:] == 255).all()


# -------------------------------------------------------- candidate classes
# Five classes: 0 and 4 are never boxed, label 0 shows as 1 or 2, label 1 as 3,
# and label 2 is not segmented.
COMPATIBLE = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]],
                      bool)
OUTSIDE = np.array([1, 0, 0, 0, 1], bool)


def reference_sets(image, boxes, labels, flags, method, rejected):
    """The definition, pixel by pixel: (H, W) sets, None for any class."""
    height, width = image.shape[:2]
    sets = np.empty((height, width), object)
    around = set(np.flatnonzero(OUTSIDE))
    shown = [
        None if flag or not COMPATIBLE[:, label].any() else set(
            np.flatnonzero(COMPATIBLE[:, label]))
        for label, flag in zip(labels, flags)
    ]
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    # who is seen: smallest last; ties as the order of painting has them
    key = [(-area[k], boxes[k][3], boxes[k][2], boxes[k][1], boxes[k][0],
            [c not in (shown[k] or ()) for c in range(5)])
           for k in range(len(boxes))]
    order = sorted(range(len(boxes)), key=key.__getitem__)
    for y in range(height):
        for x in range(width):
            over = [
                k for k in order if boxes[k][0] <= x + .5 < boxes[k][2]
                and boxes[k][1] <= y + .5 < boxes[k][3]
            ]
            found = around
            if method != 'grabcut' and method != 'box':
                for k in over:
                    found = None if (found is None or shown[k] is None
                                     or rejected == 'ignore'
                                     ) else found | shown[k]
            for k in over:
                rect = np.ceil(boxes[k] - .5).clip(
                    0, [width, height] * 2).astype(int)
                inside, = METHODS[method][0](image, [rect])
                if shown[k] is None:
                    found = None
                elif inside[y - rect[1], x - rect[0]]:
                    found = shown[k]
            sets[y, x] = None if found == set(range(5)) else found
    return sets


@settings(max_examples=60, deadline=None)
@given(annotations(), st.sampled_from(sorted(METHODS)),
       st.sampled_from(['candidates', 'ignore']))
def test_the_sets_are_what_their_definition_says(data, method, rejected):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60, (14, 18, 3)).astype(np.uint8)
    image[3:11, 4:13] += 150
    mask = boxes_to_mask(image, *data, COMPATIBLE, OUTSIDE, method, rejected)
    wanted = reference_sets(image, *data, method, rejected)
    for number, pixel in zip(mask.numbers.ravel(), wanted.ravel()):
        if pixel is None:
            assert number == IGNORED
        else:
            assert set(np.flatnonzero(mask.classes[number])) == pixel
    assert len(np.unique(mask.classes, axis=0)) == len(mask.classes)


def test_more_sets_than_numbers_are_ignored():
    """300 overlapping boxes of 15 classes make hundreds of sets."""
    rng = np.random.default_rng(0)
    num = 300
    low = rng.integers(0, 60, (num, 2))
    boxes = np.concatenate([low, low + rng.integers(5, 40, (num, 2))], axis=1)
    classes = np.eye(16, 15, k=-1, dtype=bool)
    mask = boxes_to_mask(
        np.zeros((100, 100, 3), np.uint8), boxes, np.arange(num) % 15,
        np.zeros(num, bool), classes, one_hot(0, 16), 'box_i')
    assert 64 < len(mask.classes) <= 255 and (mask.numbers == 255).any()
    assert set(np.unique(mask.numbers)) == {*range(len(mask.classes)), 255}
    used = mask.classes[mask.numbers[mask.numbers < 255]]
    assert used.any(axis=1).all() and not used.all(axis=1).any()
