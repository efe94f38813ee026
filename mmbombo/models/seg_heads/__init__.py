# Copyright (c) mmbombo contributors.
from .atrous_fcn_head import AtrousFCNHead
from .oanet_stuff_head import OANetStuffHead
from .pyramid_sum_head import PyramidSumHead
from .region_head import RegionHead

__all__ = [
    'AtrousFCNHead', 'OANetStuffHead', 'PyramidSumHead', 'RegionHead'
]
