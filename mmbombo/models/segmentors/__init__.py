# Copyright (c) mmbombo contributors.
from .region_segmentor import RegionSegmentor

__all__ = ['RegionSegmentor']
