# Copyright (c) mmbombo contributors.
from .aux_seg_labels import AuxSegLabels
from .cam_masks import CamMasks
from .mask_writer import MaskWriter
from .multiview_masks import MultiViewMasks
from .predicted_masks import PredictedMasks
from .pseudo_label_writer import PseudoLabelWriter, write_pseudo_labels

__all__ = [
    'AuxSegLabels', 'CamMasks', 'MaskWriter', 'MultiViewMasks',
    'PredictedMasks', 'PseudoLabelWriter', 'write_pseudo_labels'
]
