# Copyright (c) mmbombo contributors.
from .annotation_kinds import BBOX, IGNORE_INDEX, KINDS, SEM_SEG, check_kinds

__all__ = ['BBOX', 'IGNORE_INDEX', 'KINDS', 'SEM_SEG', 'check_kinds']
