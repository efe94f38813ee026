# Copyright (c) mmbombo contributors.
from .cam_masks import CamMasks
from .mask_writer import MaskWriter
from .predicted_masks import PredictedMasks
from .pseudo_label_writer import PseudoLabelWriter, write_pseudo_labels

__all__ = [
    'CamMasks', 'MaskWriter', 'PredictedMasks', 'PseudoLabelWriter',
    'write_pseudo_labels'
]
