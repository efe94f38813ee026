# Copyright (c) mmbombo contributors.
"""The parts of ``voc_lists.py``: reading, division, checks, counts."""
