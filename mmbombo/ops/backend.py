# Copyright (c) mmbombo contributors.
from functools import lru_cache
from types import ModuleType
from typing import NoReturn, Optional


@lru_cache(maxsize=None)
def torchvision_ops() -> Optional[ModuleType]:
    """``torchvision.ops``, or None if there is none that works.

    It is imported when an operator is called for the first time: that takes
    a second, which a ``--help`` need not wait.
    """
    try:
        from torchvision import ops
    # One that was built for another PyTorch raises the other two.
    except (ImportError, RuntimeError, OSError):
        return None
    return ops


def not_compiled(name: str) -> NoReturn:
    """Say how to get an operator that has no stand-in."""
    raise NotImplementedError(
        f'{name} is an operator of compiled MMCV, and mmcv-lite is installed: '
        'replace it by `pip uninstall mmcv-lite && pip install '
        '--no-build-isolation mmcv==2.1.0`, which compiles for 10 to 20 '
        'minutes.')
