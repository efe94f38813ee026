# Copyright (c) mmbombo contributors.
"""Means in boxes and in rings around them."""
import numpy as np
import torch

from mmbombo.weak_labels import box_ring_mean

#: Parts of a cell in the reference.
PARTS = 4


def brute_force(values, box, ratio):
    """Means of a map (H, W), from the centers of sixteenths of cells."""
    values = values.repeat(PARTS, 0).repeat(PARTS, 1)
    ys, xs = (np.arange(size) + .5 for size in values.shape)

    def is_in(x1, y1, x2, y2):
        return ((ys > PARTS * y1) &
                (ys < PARTS * y2))[:, None] & ((xs > PARTS * x1) &
                                               (xs < PARTS * x2))

    x1, y1, x2, y2 = box
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    w, h = ratio * (x2 - x1) / 2, ratio * (y2 - y1) / 2
    inside = is_in(*box)
    ring = is_in(x - w, y - h, x + w, y + h) & ~inside
    return [values[x].mean() if x.any() else 0. for x in (inside, ring)]


def test_brute_force():
    rng = np.random.default_rng(0)
    maps = rng.random((3, 11, 14))
    # the edges of boxes and rings are on the grid of the reference; some
    # boxes are out of the map, or have no area
    low = rng.integers(-10, 40, (200, 2)) / 2
    boxes = np.concatenate([low, low + rng.integers(0, 15, (200, 2))], 1)
    found = box_ring_mean(torch.from_numpy(maps), torch.from_numpy(boxes), 2.)
    wanted = np.array([[brute_force(x, box, 2.) for x in maps]
                       for box in boxes])
    for mean, expected in zip(found, np.moveaxis(wanted, 2, 0)):
        np.testing.assert_allclose(mean, expected, atol=1e-9)


def test_whole_map_has_no_ring():
    inside, ring = box_ring_mean(
        torch.full((2, 5, 7), .3), torch.tensor([[0., 0., 7., 5.]]), 1.8)
    torch.testing.assert_close(inside, torch.full((1, 2), .3))
    assert (ring == 0).all()


def test_no_boxes():
    for mean in box_ring_mean(torch.rand(2, 5, 7), torch.zeros(0, 4), 1.8):
        assert mean.shape == (0, 2)


def test_parts_of_one_in_many():
    """The sum of a small box is a difference of great numbers."""
    maps = torch.full((1, 2000, 2000), 1.)
    maps[0, 1990:1999, 1990:1999] = .2
    boxes = torch.tensor([[1990., 1990., 1999., 1999.]])
    inside, ring = box_ring_mean(maps, boxes, 1.1)
    assert abs(inside.item() - .2) < 1e-6 and abs(ring.item() - 1) < 1e-6
