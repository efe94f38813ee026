# Copyright (c) mmbombo contributors.
from .affinity import CrossTaskAffinity, TaskAffinity, affinity_grid, propagate

__all__ = ['CrossTaskAffinity', 'TaskAffinity', 'affinity_grid', 'propagate']
