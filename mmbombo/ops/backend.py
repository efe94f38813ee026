# Copyright (c) mmbombo contributors.
from functools import lru_cache
from types import ModuleType
from typing import Optional


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
