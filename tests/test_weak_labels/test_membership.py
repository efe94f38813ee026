# Copyright (c) mmbombo contributors.
"""What is left of regions on a map, against loops over pixels."""
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmbombo.weak_labels import fit_regions


def box_of(mask):
    ys, xs = np.nonzero(mask)
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


@given(
    st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9),
    st.integers(1, 12), st.integers(1, 30))
def test_regions_that_a_map_leaves(seed, height, width, count, min_area):
    rng = np.random.RandomState(seed)
    numbers = rng.randint(-1, count, (height, width))
    held = rng.rand(rng.randint(0, 9), count + 2) < rng.rand()
    fitted = fit_regions(numbers, np.stack(np.nonzero(held)), min_area)

    left = np.unique(numbers[numbers >= 0])
    masks, expected = [], []
    for row in held:
        mask = (numbers >= 0) & row[numbers]
        known = any((mask == other).all() for other in masks)
        if mask.sum() >= min_area and not known:
            masks.append(mask)
            expected.append(row[left])
    assert fitted.superpixels.max(initial=-1) == len(left) - 1
    np.testing.assert_array_equal(fitted.superpixels < 0, numbers < 0)
    seen = numbers >= 0
    np.testing.assert_array_equal(left[fitted.superpixels[seen]],
                                  numbers[seen])
    held = np.array(expected).reshape(len(expected), len(left))
    np.testing.assert_array_equal(fitted.pairs, np.stack(np.nonzero(held)))
    assert fitted.boxes.tolist() == [box_of(mask) for mask in masks]
    assert fitted.boxes.shape == (len(masks), 4)
    assert fitted.boxes.dtype == np.float32 and fitted.pairs.dtype == np.int64
