# Copyright (c) mmbombo contributors.
#: Label of a box whose category the config's classes leave out: no object to
#: the detector, unknown to weak masks.
LEFT_OUT_LABEL = -1
