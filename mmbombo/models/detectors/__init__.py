# Copyright (c) mmbombo contributors.
from .multi_task_detector import MultiTaskDetector
from .other_network import OtherNetwork
from .step_context import StepContext
from .stock_network import from_stock_network, is_stock_network

__all__ = [
    'MultiTaskDetector', 'OtherNetwork', 'StepContext', 'from_stock_network',
    'is_stock_network'
]
