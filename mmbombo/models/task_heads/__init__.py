# Copyright (c) mmbombo contributors.
from .base_task_head import BaseTaskHead, DerivedTaskHead
from .cls_task_head import ClsTaskHead
from .compat_task_heads import CompatDetTaskHead, CompatSegTaskHead
from .det_task_head import DetTaskHead
from .seg_task_head import SegTaskHead

__all__ = [
    'BaseTaskHead', 'ClsTaskHead', 'CompatDetTaskHead', 'CompatSegTaskHead',
    'DerivedTaskHead', 'DetTaskHead', 'SegTaskHead'
]
