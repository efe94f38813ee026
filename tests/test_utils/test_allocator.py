# Copyright (c) mmbombo contributors.
"""In processes of their own: the setting is for good."""
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Page faults of a tensor of 64 MiB, made after others like it were freed.
COUNT = '''
import resource
import sys
import torch
from mmbombo.utils import keep_freed_memory

if len(sys.argv) > 1:
    assert keep_freed_memory()


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def make_and_free():
    before = faults()
    torch.ones(2 ** 24)
    return faults() - before


# the heap may grow twice, around what is in the way of the first tensor
print([make_and_free() for _ in range(5)][-1])
'''


def count(*args, **variables):
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(('MALLOC_', 'LD_PRELOAD'))
    }
    out = subprocess.run(
        [sys.executable, '-c', COUNT, *args],
        env=dict(env, PYTHONPATH=str(ROOT), **variables),
        capture_output=True,
        text=True)
    assert out.returncode == 0, out.stderr
    return int(out.stdout)


@pytest.mark.skipif(
    platform.libc_ver()[0] != 'glibc', reason='a setting of glibc')
def test_freed_memory_is_used_again():
    # at least one for every page, of 2 MiB at most
    assert count() >= 32
    assert count('keep') < 32
    # what the docstring says of variables
    assert count(MALLOC_MMAP_MAX_='0', MALLOC_TRIM_THRESHOLD_='-1') < 32


def test_other_systems_are_left_alone(monkeypatch):
    from mmbombo.utils import allocator
    monkeypatch.setattr(allocator.sys, 'platform', 'win32')
    monkeypatch.setattr(allocator, 'ctypes', None)
    assert allocator.keep_freed_memory() is False
