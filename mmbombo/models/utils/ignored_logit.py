# Copyright (c) mmbombo contributors.
#: Replaces a class logit that is not to be learned from. Its sigmoid is zero
#: in every floating-point type that trains, so as a negative it costs nothing.
IGNORED_LOGIT = -50.
