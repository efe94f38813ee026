# Copyright (c) mmbombo contributors.
from .affinity import CrossTaskAffinity, TaskAffinity, affinity_grid, propagate
from .freeform_roi_pool import FreeformRoIPool, bin_masks, roi_max_pool
from .region_to_pixel import paint_superpixels, region_to_superpixel
from .spatial_ranking import (SpatialRanking, at_cells, check_rank_mode,
                              rank_instances)

__all__ = [
    'CrossTaskAffinity', 'FreeformRoIPool', 'SpatialRanking', 'TaskAffinity',
    'affinity_grid', 'at_cells', 'bin_masks', 'check_rank_mode',
    'paint_superpixels', 'propagate', 'rank_instances',
    'region_to_superpixel', 'roi_max_pool'
]
