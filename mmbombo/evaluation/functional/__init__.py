# Copyright (c) mmbombo contributors.
from .pseudo_label_quality import BoxQuality, MaskQuality

__all__ = ['BoxQuality', 'MaskQuality']
