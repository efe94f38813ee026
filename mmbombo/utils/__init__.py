# Copyright (c) mmbombo contributors.
from .allocator import keep_freed_memory
from .checkpoint import load_checkpoint_safely, use_checked_loader
from .distributed import leave_process_group, prepare_cpu_processes
from .schedule import scale_schedule
from .user_errors import MissingFileError, UserError, user_errors

__all__ = [
    'MissingFileError', 'UserError', 'keep_freed_memory',
    'leave_process_group', 'load_checkpoint_safely', 'prepare_cpu_processes',
    'scale_schedule', 'use_checked_loader', 'user_errors'
]
