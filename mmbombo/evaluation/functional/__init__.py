# Copyright (c) mmbombo contributors.
from .confusion import box_confusion, map_confusion
from .detection_errors import detection_errors
from .label_quality import (BoxQuality, ForegroundQuality, MaskQuality,
                            connectivity)
from .voc_average_precision import AP_MODES, box_ious, voc_average_precision

__all__ = [
    'AP_MODES', 'BoxQuality', 'ForegroundQuality', 'MaskQuality',
    'box_confusion', 'box_ious', 'connectivity', 'detection_errors',
    'map_confusion', 'voc_average_precision'
]
