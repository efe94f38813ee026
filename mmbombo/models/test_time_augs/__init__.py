# Copyright (c) mmbombo contributors.
from .multi_task_tta import MultiTaskTTAModel

__all__ = ['MultiTaskTTAModel']
