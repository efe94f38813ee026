# Copyright (c) mmbombo contributors.
from .multi_task_log_processor import MultiTaskLogProcessor
from .quiet_runner import QuietRunner

__all__ = ['MultiTaskLogProcessor', 'QuietRunner']
