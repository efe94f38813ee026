# Copyright (c) mmbombo contributors.
from .context_pyramid import ContextPyramid

__all__ = ['ContextPyramid']
