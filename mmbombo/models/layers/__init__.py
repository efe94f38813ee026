# Copyright (c) mmbombo contributors.
from .affinity import CrossTaskAffinity, TaskAffinity, affinity_grid, propagate
from .freeform_roi_pool import FreeformRoIPool, bin_masks, roi_max_pool
from .region_to_pixel import paint_superpixels, region_to_superpixel
from .spatial_ranking import (RANK_MODES, SpatialRanking, at_cells,
                              rank_instances)

__all__ = [
    'CrossTaskAffinity', 'FreeformRoIPool', 'RANK_MODES', 'SpatialRanking',
    'TaskAffinity', 'affinity_grid', 'at_cells', 'bin_masks',
    'paint_superpixels', 'propagate', 'rank_instances',
    'region_to_superpixel', 'roi_max_pool'
]
