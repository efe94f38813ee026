# Copyright (c) mmbombo contributors.
from .affinity import CrossTaskAffinity, TaskAffinity, affinity_grid, propagate
from .freeform_roi_pool import FreeformRoIPool, bin_masks, roi_max_pool
from .region_to_pixel import paint_superpixels, region_to_superpixel

__all__ = [
    'CrossTaskAffinity', 'FreeformRoIPool', 'TaskAffinity', 'affinity_grid',
    'bin_masks', 'paint_superpixels', 'propagate', 'region_to_superpixel',
    'roi_max_pool'
]
