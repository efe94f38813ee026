# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmbombo.datasets.checks.coco_shapes import read_runs


@pytest.mark.parametrize('seed', range(20))
def test_run_lengths_are_those_of_the_mask(seed):
    rng = np.random.default_rng(seed)
    mask = (rng.random((37, 23)) < rng.random()).astype(np.uint8)
    code = mask_utils.encode(np.asfortranarray(mask))['counts'].decode()
    pixels = mask.T.ravel()
    changes = np.flatnonzero(np.diff(pixels)) + 1
    expected = np.diff([0, *changes, pixels.size]).tolist()
    assert read_runs(code) == [0] * int(pixels[0]) + expected


@pytest.mark.parametrize('text', ['\xff', 'o', 'P[', '\0', 'oooooooo0'])
def test_what_is_no_code(text):
    assert read_runs(text) is None
