# Copyright (c) mmbombo contributors.
from .boxes_to_masks import METHODS, PseudoMask, boxes_to_mask, check_method
from .cache import PseudoMaskCache
from .components import label_components
from .covered_cells import covered_cells, covered_pixels
from .masks_to_boxes import RefinedBoxes, refine_boxes

__all__ = [
    'METHODS', 'PseudoMask', 'PseudoMaskCache', 'RefinedBoxes',
    'boxes_to_mask', 'check_method', 'covered_cells', 'covered_pixels',
    'label_components', 'refine_boxes'
]
