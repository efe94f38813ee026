# Copyright (c) mmbombo contributors.
"""The version of mmbombo, read by ``setup.py`` without importing the rest."""
__version__ = '0.1.0'
