# Copyright (c) mmbombo contributors.
