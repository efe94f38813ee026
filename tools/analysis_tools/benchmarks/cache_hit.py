# Copyright (c) mmbombo contributors.
"""A pseudo mask that is in the cache already, against one millisecond.

What a worker does then: it reads and hashes the image file, reads the mask's
file, verifies and decodes it.
"""
from argparse import Namespace
from tempfile import TemporaryDirectory
from typing import List

import numpy as np

from mmbombo.datasets.transforms import LoadPseudoMask
from .photo_stamps import as_recipe, read_samples
from .rows import Row, ratio_of, timed
from .voc_sources import class_names

MILLISECOND = 1.
#: Hits are alike: this many images are enough.
MAX_IMAGES = 20


def run(options: Namespace) -> List[Row]:
    """Time hits."""
    samples = read_samples(options.data, min(options.images, MAX_IMAGES))
    classes = class_names(options.data)
    class_map = dict(
        det_classes=classes,
        seg_classes=('background', *classes),
        background='background')
    with TemporaryDirectory() as folder:
        transform = LoadPseudoMask(class_map, cache_dir=folder)
        recipes = [as_recipe(sample) for sample in samples]
        made = [transform.pseudo_mask(recipe) for recipe in recipes]
        hits = []
        for _ in range(options.repeats):
            for recipe, mask in zip(recipes, made):
                spent, found = timed(transform.pseudo_mask, recipe)
                assert (found == mask).all()
                hits.append(spent)

    ratio, spread = ratio_of(hits, [MILLISECOND] * len(hits))
    return [
        Row('cache_hit',
            ratio,
            1.,
            'at most',
            spread,
            'milliseconds of a hit',
            figures={
                'masks':
                len(made),
                'median image size':
                np.median([mask.shape for mask in made], 0).tolist()
            },
            times=dict(hit=hits))
    ]
