# Copyright (c) mmbombo contributors.
from .label_quality import (BoxQuality, ForegroundQuality, MaskQuality,
                            connectivity)
from .voc_average_precision import AP_MODES, box_ious, voc_average_precision

__all__ = [
    'AP_MODES', 'BoxQuality', 'ForegroundQuality', 'MaskQuality', 'box_ious',
    'connectivity', 'voc_average_precision'
]
