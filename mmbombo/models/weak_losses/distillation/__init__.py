# Copyright (c) mmbombo contributors.
from .distillation_loss import DistillationLoss
from .feature_distillation import DeFeatLoss, FeatureMSELoss, PDFLoss
from .pseudo_box import PseudoBoxLoss
from .segmentation_kl import SegmentationKLLoss
from .soft_detection import SoftDetectionLoss

__all__ = [
    'DeFeatLoss', 'DistillationLoss', 'FeatureMSELoss', 'PDFLoss',
    'PseudoBoxLoss', 'SegmentationKLLoss', 'SoftDetectionLoss'
]
