# Copyright (c) mmbombo contributors.
from .multi_task_detector import MultiTaskDetector

__all__ = ['MultiTaskDetector']
