# Copyright (c) mmbombo contributors.
"""The version of mmbombo, which ``pyproject.toml`` names."""
__version__ = '0.1.0'
