# Copyright (c) mmbombo contributors.
from .pyramid_sum_head import PyramidSumHead

__all__ = ['PyramidSumHead']
