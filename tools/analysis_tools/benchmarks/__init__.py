# Copyright (c) mmbombo contributors.
"""What ``benchmark.py`` measures: functions of its options that yield rows.

They only say what A and B are; :mod:`.rows` measures and writes.
"""
from importlib import import_module
from typing import Callable

#: Name to the module that holds the function of this name.
BENCHMARKS = dict(
    joint_step='joint',
    inference='joint',
    validation='joint',
    bombo_naive_own='bombo',
    bombo_naive_all='bombo',
    training_memory='bombo',
    split_merge='bombo',
    pseudo_masks='files',
    pipeline='files',
    start_up='start_up',
    growth='growth')


def load(name: str) -> Callable:
    """Import a benchmark."""
    return getattr(import_module(f'.{BENCHMARKS[name]}', __name__), name)
