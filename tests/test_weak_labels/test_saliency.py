# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbombo.weak_labels.saliency import (barrier_distance, barrier_saliency,
                                          stretch)


def slow_distance(values):
    """By all thresholds: a pixel is within d of the border if, for some
    interval of that length, a path of values in it leads there."""
    height, width = values.shape
    best = np.full(values.shape, np.inf)
    for low in np.unique(values):
        for high in np.unique(values[values >= low]):
            allowed = (values >= low) & (values <= high)
            reached = np.zeros_like(allowed)
            reached[[0, -1]] = allowed[[0, -1]]
            reached[:, [0, -1]] = allowed[:, [0, -1]]
            while True:
                grown = reached.copy()
                grown[1:] |= reached[:-1]
                grown[:-1] |= reached[1:]
                grown[:, 1:] |= reached[:, :-1]
                grown[:, :-1] |= reached[:, 1:]
                grown &= allowed
                if (grown == reached).all():
                    break
                reached = grown
            best[reached] = np.minimum(best[reached], high - low)
    return best


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 999))
def test_distance_is_that_of_a_path(height, width, seed):
    values = np.random.RandomState(seed).randint(0, 5, (height, width))
    values = values.astype(np.float32)
    found = barrier_distance(values[None])[0]
    exact = slow_distance(values)
    # of some path, so never less, and with few values mostly the best one
    assert (found >= exact).all() and np.isfinite(found).all()
    assert (found == exact).mean() > .8


def test_a_ring_is_a_barrier():
    values = np.zeros((9, 9), np.float32)
    values[2:7, 2:7] = 3
    values[3:6, 3:6] = 1
    distance = barrier_distance(values[None])[0]
    np.testing.assert_array_equal(distance[2:7, 2:7], 3)
    assert distance.sum() == 25 * 3
    values[4, 2] = 0  # an opening
    distance = barrier_distance(values[None])[0]
    assert distance[4, 4] == 1 and distance[2, 2] == 3


@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (3, 200), (240, 320)])
def test_images_of_any_size(shape):
    image = np.zeros((*shape, 3), np.uint8)
    saliency = barrier_saliency(image)
    assert saliency.shape == shape and saliency.dtype == np.uint8


def test_an_object_stands_out_from_what_reaches_the_border():
    rng = np.random.RandomState(0)
    image = rng.randint(90, 110, (120, 160, 3)).astype(np.uint8)
    image[:, 80:] += 60  # two grounds
    image[40:80, 60:100] = (20, 30, 200)
    saliency = barrier_saliency(image)
    outside = np.ones((120, 160), bool)
    outside[35:85, 55:105] = False
    assert saliency[45:75, 65:95].min() > 2 * saliency[outside].max()


def test_stretch():
    assert stretch(np.array([2., 3., 4.])).tolist() == [0, 128, 255]
    assert stretch(np.full(3, 7.)).tolist() == [0, 0, 0]
