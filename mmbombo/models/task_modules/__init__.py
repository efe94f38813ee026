# Copyright (c) mmbombo contributors.
from .clamped_anchor_generator import ClampedAnchorGenerator
from .iou_assigner import IoUAssigner
from .mutual_guide_assigner import MutualGuideAssigner
from .seed_selector import SaliencyGuidedSeedSelector, Seeds

__all__ = [
    'ClampedAnchorGenerator', 'IoUAssigner', 'MutualGuideAssigner',
    'SaliencyGuidedSeedSelector', 'Seeds'
]
