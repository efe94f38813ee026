# Copyright (c) mmbombo contributors.
"""``filter_predictions`` against its rules, pixel by pixel."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbombo.weak_labels import covered_pixels, filter_predictions

HEIGHT, WIDTH, NUM_IDS = 9, 11, 4
IGNORED = 255


def holds(box, x, y):
    return box[0] <= x + .5 < box[2] and box[1] <= y + .5 < box[3]


def reference(predicted, prepared, boxes, agrees):
    """One image, in loops."""
    pixels = [(y, x) for y in range(predicted.shape[0])
              for x in range(predicted.shape[1])]
    empty = [
        any(shown) and not any(
            holds(box, x, y) and shown[predicted[y, x]] for y, x in pixels)
        for box, shown in zip(boxes, agrees)
    ]
    mask = np.full_like(predicted, IGNORED)
    for y, x in pixels:
        over = [k for k, box in enumerate(boxes) if holds(box, x, y)]
        before = prepared[y, x]
        if not over:
            mask[y, x] = before
        elif before != IGNORED and any(empty[k] and agrees[k][before]
                                       for k in over):
            mask[y, x] = before
        elif any(agrees[k][predicted[y, x]] for k in over):
            mask[y, x] = predicted[y, x]
        elif any(empty[k] for k in over):
            mask[y, x] = before
    return mask, empty


def run(images):
    """[(predicted, prepared, boxes, agrees)], padded to one batch."""
    num = max(len(boxes) for _, _, boxes, _ in images)
    boxes = torch.zeros(len(images), num, 4)
    agrees = torch.zeros(len(images), num, NUM_IDS, dtype=torch.bool)
    for i, image in enumerate(images):
        if len(image[2]):
            boxes[i, :len(image[2])] = torch.tensor(image[2])
            agrees[i, :len(image[2])] = torch.tensor(image[3])
    predicted, prepared = (
        torch.from_numpy(np.stack([image[i] for image in images]))
        for i in range(2))
    mask, empty = filter_predictions(predicted, prepared, boxes, agrees)
    return mask.numpy(), empty.numpy()


@st.composite
def images(draw, max_boxes=5):
    """Random predictions; boxes on half pixels, nested and cut ones too."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = HEIGHT, WIDTH
    # few ids, in patches, so that boxes without a pixel are common
    predicted = np.kron(
        rng.integers(0, NUM_IDS, (3, 4)), np.ones((3, 3), int))[:, :WIDTH]
    prepared = np.zeros(shape, int)
    boxes, agrees = [], []
    for _ in range(draw(st.integers(0, max_boxes))):
        x1, y1 = rng.integers(-4, 2 * WIDTH) / 2, rng.integers(
            -4, 2 * HEIGHT) / 2
        x2, y2 = x1 + rng.integers(1, 16) / 2, y1 + rng.integers(1, 16) / 2
        seg_id = rng.integers(1, NUM_IDS)
        shown = np.arange(NUM_IDS) == seg_id
        if rng.random() < .2:  # difficult
            shown[:] = False
        elif rng.random() < .2:  # may be shown by two ids
            shown[rng.integers(1, NUM_IDS)] = True
        boxes.append((x1, y1, x2, y2))
        agrees.append(shown.tolist())
        ys, xs = np.mgrid[:HEIGHT, :WIDTH]
        inside = (xs + .5 >= x1) & (xs + .5 < x2) & (ys + .5 >= y1) & (
            ys + .5 < y2)
        prepared[inside] = np.where(
            rng.random(inside.sum()) < .5, seg_id if shown.any() else IGNORED,
            IGNORED)
    prepared[:, rng.integers(WIDTH - 2, WIDTH + 1):] = IGNORED  # padding
    return predicted.astype(np.int64), prepared.astype(np.int64), boxes, agrees


@settings(max_examples=80)
@given(st.lists(images(), min_size=1, max_size=3))
def test_equals_its_definition(batch):
    masks, empty = run(batch)
    for i, image in enumerate(batch):
        mask, empty_boxes = reference(*image)
        np.testing.assert_array_equal(masks[i], mask)
        assert empty[i, :len(image[2])].tolist() == empty_boxes
        assert not empty[i, len(image[2]):].any()


@settings(max_examples=50)
@given(images(), st.randoms())
def test_invariants(image, random):
    """Classes stay in boxes that show them; the order of boxes is nothing."""
    predicted, prepared, boxes, agrees = image
    (mask, ), _ = run([image])
    for y, x in zip(*np.nonzero((mask > 0) & (mask != IGNORED))):
        # the prepared mask leaves no box either, by its own tests
        assert mask[y, x] == prepared[y, x] or any(
            holds(box, x, y) and shown[mask[y, x]]
            for box, shown in zip(boxes, agrees))
        assert any(holds(box, x, y) for box in boxes)
    order = list(range(len(boxes)))
    random.shuffle(order)
    shuffled = (predicted, prepared, [boxes[k] for k in order],
                [agrees[k] for k in order])
    np.testing.assert_array_equal(run([shuffled])[0][0], mask)


def test_many_boxes_do_not_fit_in_one_word():
    """150 boxes of one pixel: each keeps its own class only."""
    rng = np.random.default_rng(0)
    predicted = rng.integers(0, NUM_IDS, (HEIGHT, 20))
    prepared = rng.integers(0, NUM_IDS, (HEIGHT, 20))
    cells = [(x, y) for x in range(20) for y in range(HEIGHT)][:150]
    boxes = [(x, y, x + 1, y + 1) for x, y in cells]
    agrees = (np.arange(NUM_IDS) == rng.integers(1, NUM_IDS,
                                                 (150, 1))).tolist()
    image = predicted, prepared, boxes, agrees
    (mask, ), (empty, ) = run([image])
    expected, empty_boxes = reference(*image)
    np.testing.assert_array_equal(mask, expected)
    assert empty.tolist() == empty_boxes
    assert 50 < sum(empty_boxes) < 150


def test_nested_box_falls_back_inside_a_box_that_needs_nothing():
    """The large box is predicted, the small one of another class is not."""
    predicted = np.zeros((HEIGHT, WIDTH), np.int64)
    predicted[1:8, 1:9] = 1
    prepared = np.full((HEIGHT, WIDTH), 0)
    prepared[0:9, 0:10] = IGNORED
    prepared[3:5, 3:5] = 2  # what GrabCut made of the small box
    boxes = [(0, 0, 10, 9), (2, 2, 6, 6)]
    agrees = [[False, True, False, False], [False, False, True, False]]
    (mask, ), (empty, ) = run([(predicted, prepared, boxes, agrees)])
    assert empty.tolist() == [False, True]
    expected = np.zeros((HEIGHT, WIDTH), np.int64)
    expected[0:9, 0:10] = IGNORED
    expected[1:8, 1:9] = 1
    expected[3:5, 3:5] = 2
    np.testing.assert_array_equal(mask, expected)


def test_no_box_and_covered_pixels():
    predicted = np.ones((HEIGHT, WIDTH), np.int64)
    prepared = np.zeros((HEIGHT, WIDTH), np.int64)
    masks, empty = run([(predicted, prepared, [], [])])
    assert (masks == 0).all() and empty.shape == (1, 0)
    assert not covered_pixels(torch.zeros(1, 0, 4), (3, 4)).any()
    assert covered_pixels(
        torch.tensor([[[1.5, .6, 3.4, 9.]]]), (3, 4)).int().tolist() == [[
            [0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0]
        ]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_gpu_equals_cpu_without_waiting_for_it():
    generator = torch.Generator().manual_seed(0)
    predicted, prepared = torch.randint(
        0, NUM_IDS, (2, 2, 64, 80), generator=generator)
    low = torch.rand(2, 70, 2, generator=generator) * 60
    boxes = torch.cat(
        [low, low + torch.rand(2, 70, 2, generator=generator) * 20], dim=2)
    agrees = torch.rand(2, 70, NUM_IDS, generator=generator) < .3
    expected = filter_predictions(predicted, prepared, boxes, agrees)
    args = [x.cuda() for x in (predicted, prepared, boxes, agrees)]
    filter_predictions(*args)
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode('error')
    try:
        got = filter_predictions(*args)
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    for a, b in zip(got, expected):
        assert torch.equal(a.cpu(), b)
