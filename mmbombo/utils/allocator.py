# Copyright (c) mmbombo contributors.
import ctypes
import sys

#: Options of ``mallopt`` in glibc's ``malloc.h``.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for its next tensors;
    False where the C library has no such setting.

    On a CPU, PyTorch's tensors come from the C library. glibc asks the system
    for each tensor of more than 32 MiB, and gives it back when it is freed;
    the system clears every page anew when it is first touched. In training,
    where each step needs the same memory as the one before, that is a tenth of
    the time (docs/en/advanced_guides/speed.md). Threads and forked workers
    share the setting, which is that of the environment variables
    ``MALLOC_MMAP_MAX_=0`` and ``MALLOC_TRIM_THRESHOLD_=-1``.
    """
    if not sys.platform.startswith('linux'):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
