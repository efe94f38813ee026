# Copyright (c) mmbombo contributors.
#: A pixel that says nothing, in every map of this package.
IGNORE_INDEX = 255
