# Copyright (c) mmbombo contributors.
from .affinity import CrossTaskAffinity, TaskAffinity, affinity_grid, propagate
from .spatial_ranking import (SpatialRanking, at_cells, check_rank_mode,
                              rank_instances)

__all__ = [
    'CrossTaskAffinity', 'SpatialRanking', 'TaskAffinity', 'affinity_grid',
    'at_cells', 'check_rank_mode', 'propagate', 'rank_instances'
]
