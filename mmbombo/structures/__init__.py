# Copyright (c) mmbombo contributors.
from .annotation_kinds import BBOX, KINDS, SEM_SEG, check_kinds
from .ignore_index import IGNORE_INDEX
from .left_out_label import LEFT_OUT_LABEL

__all__ = [
    'BBOX', 'IGNORE_INDEX', 'KINDS', 'LEFT_OUT_LABEL', 'SEM_SEG',
    'check_kinds'
]
