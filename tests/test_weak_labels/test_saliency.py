# Copyright (c) mmbombo contributors.
import numpy as np
import pytest

from mmbombo.weak_labels.saliency import (barrier_distance, barrier_saliency,
                                          stretch)


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
