# Copyright (c) mmbombo contributors.
"""Class names of the two data sets, in the order that configs rely on.

A class's detection label is its index here; its segmentation id is that
plus one, because 0 is the background.
"""

PHOTO_CLASSES = ('bird', 'mammal', 'flower', 'produce', 'household', 'coin')
SHAPE_CLASSES = ('disc', 'rectangle', 'triangle', 'star')
BACKGROUND = 'background'
