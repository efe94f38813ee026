# Copyright (c) mmbombo contributors.
from .answer_cache import AnswerCache, identity_of
from .cached_network import CachedNetwork
from .defeat import DeFeatLoss
from .distillation_loss import DistillationLoss
from .feature_distillation import FeatureMSELoss
from .pdf import PDFLoss
from .pseudo_box import PseudoBoxLoss
from .segmentation_kl import SegmentationKLLoss
from .soft_detection import SoftDetectionLoss

__all__ = [
    'AnswerCache', 'CachedNetwork', 'DeFeatLoss', 'DistillationLoss',
    'FeatureMSELoss', 'PDFLoss', 'PseudoBoxLoss', 'SegmentationKLLoss',
    'SoftDetectionLoss', 'identity_of'
]
