# Copyright (c) mmbombo contributors.
"""Superpixels and their grouping, against histograms of pixels in loops."""
import itertools
import sys

import cv2
import numpy as np
import pytest

from mmbombo.utils import UserError
from mmbombo.weak_labels import fit_regions, propose_regions
from mmbombo.weak_labels import region_proposals as proposals


def blocks(shape, side):
    rows, columns = np.indices(shape) // side
    return rows * (shape[1] // side) + columns


def similarity(bins, first, second):
    """Of two masks, from their pixels: color or texture, size and fill."""
    masks = np.stack([first, second])
    tables = [
        np.concatenate([np.bincount(b[mask], minlength=9)
                        for b in bins]) / mask.sum() / len(bins)
        for mask in masks
    ]
    ys, xs = np.nonzero(masks.any(0))
    box = (np.ptp(xs) + 1) * (np.ptp(ys) + 1)
    total = first.size
    return (np.minimum(*tables).sum() + 1 - masks.sum() / total + 1 -
            (box - masks.sum()) / total)


def touch(first, second):
    wide = cv2.dilate(
        first.astype(np.uint8),
        cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    return (wide.astype(bool) & second).any()


@pytest.mark.parametrize('seed', range(3))
def test_the_most_similar_are_merged_first(seed):
    rng = np.random.RandomState(seed)
    numbers = blocks((16, 24), 4)
    bins = rng.randint(0, 9, (2, 16, 24)) * rng.randint(0, 2, 24)
    features = proposals._count(np.moveaxis(bins, 0, 2), numbers, 9)
    areas, extents = proposals.measure(numbers, 24)
    mergers = proposals.group(features, areas, extents,
                              proposals.touching(numbers))
    masks = {i: numbers == i for i in range(24)}
    for new, (a, b) in enumerate(mergers.tolist(), 24):
        best = max(
            similarity(bins, masks[i], masks[j])
            for i, j in itertools.combinations(masks, 2)
            if touch(masks[i], masks[j]))
        assert touch(masks[a], masks[b])
        assert similarity(bins, masks[a], masks[b]) == pytest.approx(best)
        masks[new] = masks.pop(a) | masks.pop(b)
    assert masks[46].all() and len(masks) == 1


def picture():
    """A red cross of two reds on textured ground."""
    image = np.random.RandomState(0).randint(90, 110, (120, 160, 3))
    image[30:90, 60:80] = (30, 30, 200)
    image[50:70, 40:100] = (40, 40, 250)
    return image.astype(np.uint8)


def test_proposals_of_a_picture():
    found = propose_regions(picture(), min_size=50)
    numbers, pairs = (x.astype(np.int64) for x in found)
    fitted = fit_regions(numbers, pairs)
    np.testing.assert_array_equal(fitted.superpixels, numbers)
    np.testing.assert_array_equal(fitted.pairs, pairs)  # none is repeated
    assert fitted.boxes[0].tolist() == [0, 0, 160, 120]
    cross = np.array([40, 30, 100, 90])
    assert np.abs(fitted.boxes - cross).max(1).min() <= 2
    alone = pairs[1][np.bincount(pairs[0])[pairs[0]] == 1]
    assert sorted(alone) == list(range(numbers.max() + 1))
    for region in range(pairs[0].max() + 1):
        mask = np.isin(numbers, pairs[1, pairs[0] == region])
        assert cv2.connectedComponents(mask.astype(np.uint8))[0] == 2
    again = propose_regions(picture(), min_size=50)
    assert all((a == b).all() for a, b in zip(found, again))


def test_a_large_image_is_looked_at_smaller():
    large = cv2.resize(picture(), (640, 480), interpolation=cv2.INTER_NEAREST)
    found = propose_regions(large, max_side=160, min_size=50)
    small = propose_regions(picture(), min_size=50)
    assert found.superpixels.shape == (480, 640)
    np.testing.assert_array_equal(found.superpixels[::4, ::4],
                                  small.superpixels)
    np.testing.assert_array_equal(found.pairs, small.pairs)


@pytest.mark.parametrize('shape', [(1, 1), (1, 50), (40, 2), (30, 30)])
def test_an_image_of_one_color_is_one_region(shape):
    found = propose_regions(np.full((*shape, 3), 255, np.uint8))
    assert found.superpixels.shape == shape and not found.superpixels.any()
    assert found.pairs.tolist() == [[0], [0]]


def test_what_cannot_be_made_is_said_in_a_line(monkeypatch):
    image = np.random.RandomState(0).randint(0, 255, (140, 140, 3))
    with pytest.raises(UserError, match='at most; set a smaller max_side'):
        propose_regions(image.astype(np.uint8), k=.01, sigma=0, min_size=1)
    monkeypatch.setitem(sys.modules, 'skimage.segmentation', None)
    with pytest.raises(UserError, match='pip install scikit-image'):
        propose_regions(picture())


def test_members_of_mergers():
    """Of two trees over five superpixels; {0, 1} and the whole are in both."""
    trees = ([(1, 0), (3, 4), (5, 2), (7, 6)], [(0, 1), (2, 3), (6, 5),
                                                (4, 7)])
    trees = [np.array(x) for x in trees]
    rims = [0, 10, 20, 30, 40, 41]
    columns = np.array([[x, 0, -y, -1] for x, y in zip(rims, rims[1:])])
    expected = [[0, 1, 2, 3, 4], [0, 1, 2], [0, 1, 2, 3], [3, 4], [2, 3],
                [0, 1], [0], [1], [2], [3], [4]]

    def regions(extents, limit):
        pairs = proposals.membership(trees, extents, limit)
        return [
            pairs[1, pairs[0] == i].tolist() for i in range(pairs[0].max() + 1)
        ]

    # {0, 1, 2, 3} has a box like all, and {3} one like {3, 4}
    behind = [[0, 1, 2, 3], [3]]
    assert regions(columns, 99) == [
        x for x in expected if x not in behind
    ] + behind
    assert regions(columns, 4) == [expected[i] for i in (0, 1, 3, 4)]
    # where all boxes are the same, the order of the mergers is left
    assert regions(columns[:1].repeat(5, 0), 99) == expected


@pytest.mark.parametrize('seed', range(3))
def test_boxes_like_one_before_come_last(seed):
    corners = np.random.RandomState(seed).rand(60, 2, 2)
    corners = np.sort(corners, 1) * .3 + [[0, 0], [.5, .5]]
    boxes = corners.reshape(60, 4)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    front, behind = [], []
    for i in range(60):
        like = False
        for j in front:
            low = np.maximum(boxes[i, :2], boxes[j, :2])
            high = np.minimum(boxes[i, 2:], boxes[j, 2:])
            inside = np.clip(high - low, 0, None).prod()
            like |= inside / (areas[i] + areas[j] - inside) > .8
        (behind if like else front).append(i)
    assert len(front) > 10 < len(behind)
    found = proposals.distinct_first(boxes, 100)
    assert found.tolist() == front + behind
    for limit in (1, 10, len(front) + 3):
        found = proposals.distinct_first(boxes, limit)
        assert found.tolist() == (front + behind)[:limit]
