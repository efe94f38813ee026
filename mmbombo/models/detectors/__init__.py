# Copyright (c) mmbombo contributors.
from .multi_task_detector import MultiTaskDetector
from .other_network import OtherNetwork
from .step_context import StepContext

__all__ = ['MultiTaskDetector', 'OtherNetwork', 'StepContext']
