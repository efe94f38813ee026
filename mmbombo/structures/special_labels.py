# Copyright (c) mmbombo contributors.
"""Labels that are no class."""

#: A pixel that says nothing, in every map of this package.
IGNORE_INDEX = 255
#: Label of a box whose category the config's classes do not list: no object to
#: the detector, unknown to weak masks.
UNLISTED_LABEL = -1
