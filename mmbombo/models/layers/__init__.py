# Copyright (c) mmbombo contributors.
from .affinity import CrossTaskAffinity, TaskAffinity, affinity_grid, propagate
from .spatial_ranking import (RANK_MODES, SpatialRanking, at_cells,
                              rank_instances)

__all__ = [
    'CrossTaskAffinity', 'RANK_MODES', 'SpatialRanking', 'TaskAffinity',
    'affinity_grid', 'at_cells', 'propagate', 'rank_instances'
]
