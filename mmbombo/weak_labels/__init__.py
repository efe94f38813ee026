# Copyright (c) mmbombo contributors.
from .box_ring import box_ring_mean
from .boxes_to_masks import METHODS, PseudoMask, boxes_to_mask, check_method
from .cache import PseudoMaskCache, RegionCache
from .components import label_components
from .crf import CRF_PRESETS, CRFParams, DenseCRF
from .masks_to_boxes import RefinedBoxes, refine_boxes
from .membership import FittedRegions, fit_regions
from .permutohedral_lattice import PermutohedralLattice
from .region_proposals import RegionProposals, propose_regions

__all__ = [
    'CRFParams', 'CRF_PRESETS', 'DenseCRF', 'FittedRegions', 'METHODS',
    'PermutohedralLattice', 'PseudoMask', 'PseudoMaskCache', 'RefinedBoxes',
    'RegionCache', 'RegionProposals', 'box_ring_mean', 'boxes_to_mask',
    'check_method', 'fit_regions', 'label_components', 'propose_regions',
    'refine_boxes'
]
