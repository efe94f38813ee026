# Copyright (c) mmbombo contributors.
from .per_level_anchor_head import PerLevelAnchorHead

__all__ = ['PerLevelAnchorHead']
