# Copyright (c) mmbombo contributors.
from .base_task_head import BaseTaskHead
from .det_task_head import DetTaskHead
from .seg_task_head import SegTaskHead

__all__ = ['BaseTaskHead', 'DetTaskHead', 'SegTaskHead']
