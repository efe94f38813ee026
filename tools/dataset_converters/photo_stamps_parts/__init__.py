# Copyright (c) mmbombo contributors.
"""The parts of ``photo_stamps.py``: sources, division, scenes, files."""
