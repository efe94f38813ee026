# Copyright (c) mmbombo contributors.
from .label_quality import BoxQuality, MaskQuality, connectivity
from .voc_average_precision import (AP_MODES, best_truths, box_ious,
                                    voc_average_precision)

__all__ = [
    'AP_MODES', 'BoxQuality', 'MaskQuality', 'best_truths', 'box_ious',
    'connectivity', 'voc_average_precision'
]
