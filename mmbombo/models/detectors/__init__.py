# Copyright (c) mmbombo contributors.
from .multi_task_detector import MultiTaskDetector
from .oanet import OANet
from .spatial_ranker import SpatialRanker

__all__ = ['MultiTaskDetector', 'OANet', 'SpatialRanker']
