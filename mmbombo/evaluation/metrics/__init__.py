# Copyright (c) mmbombo contributors.
from .box_ap import BoxAPMetric
from .seg_iou import SegIoUMetric

__all__ = ['BoxAPMetric', 'SegIoUMetric']
