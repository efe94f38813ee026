# Copyright (c) mmbombo contributors.
from .clamped_anchor_generator import ClampedAnchorGenerator
from .class_maps import CAMMaps, ClassMaps, GuidedMaps, MaskMaps
from .iou_assigner import IoUAssigner
from .mutual_guide_assigner import MutualGuideAssigner
from .seed_selector import SaliencyGuidedSeedSelector, Seeds

__all__ = [
    'CAMMaps', 'ClampedAnchorGenerator', 'ClassMaps', 'GuidedMaps',
    'IoUAssigner', 'MaskMaps', 'MutualGuideAssigner',
    'SaliencyGuidedSeedSelector', 'Seeds'
]
