# Copyright (c) mmbombo contributors.
from .annotation_kinds import BBOX, KINDS, SEM_SEG, check_kinds
from .ignore_index import IGNORE_INDEX

__all__ = ['BBOX', 'IGNORE_INDEX', 'KINDS', 'SEM_SEG', 'check_kinds']
