# Copyright (c) mmbombo contributors.
from .allocator import keep_freed_memory
from .checkpoint import load_checkpoint_safely, use_checked_loader
from .distributed import leave_process_group, prepare_cpu_processes
from .schedule import scale_schedule
from .user_errors import user_errors

__all__ = [
    'keep_freed_memory', 'leave_process_group', 'load_checkpoint_safely',
    'user_errors', 'prepare_cpu_processes', 'scale_schedule',
    'use_checked_loader'
]
