# Copyright (c) mmbombo contributors.
from .aux_seg_task_head import AuxSegTaskHead
from .base_task_head import BaseTaskHead, DerivedTaskHead
from .cls_task_head import ClsTaskHead, SingleLabelTaskHead
from .compat_task_heads import CompatDetTaskHead, CompatSegTaskHead
from .det_task_head import DetTaskHead
from .map_task_head import MapTaskHead
from .panoptic_task_head import PanopticTaskHead
from .proposal_task_head import ProposalTaskHead
from .seg_task_head import SegTaskHead

__all__ = [
    'AuxSegTaskHead', 'BaseTaskHead', 'ClsTaskHead', 'CompatDetTaskHead',
    'CompatSegTaskHead', 'DerivedTaskHead', 'DetTaskHead', 'MapTaskHead',
    'PanopticTaskHead', 'ProposalTaskHead', 'SegTaskHead',
    'SingleLabelTaskHead'
]
