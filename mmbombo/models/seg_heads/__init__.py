# Copyright (c) mmbombo contributors.
from .atrous_fcn_head import AtrousFCNHead
from .pyramid_sum_head import PyramidSumHead

__all__ = ['AtrousFCNHead', 'PyramidSumHead']
