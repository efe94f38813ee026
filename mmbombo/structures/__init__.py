# Copyright (c) mmbombo contributors.
from .annotation_kinds import BBOX, KINDS, SEM_SEG, check_kinds

__all__ = ['BBOX', 'KINDS', 'SEM_SEG', 'check_kinds']
