# Copyright (c) mmbombo contributors.
from .spatial_ranking_fusion_head import SpatialRankingFusionHead

__all__ = ['SpatialRankingFusionHead']
