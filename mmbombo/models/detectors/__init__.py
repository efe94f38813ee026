# Copyright (c) mmbombo contributors.
from .multi_task_detector import MultiTaskDetector
from .step_context import StepContext

__all__ = ['MultiTaskDetector', 'StepContext']
