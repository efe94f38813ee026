# Copyright (c) mmbombo contributors.
"""MMCV's operators where MMCV comes without compiled ones.

``mmcv.ops`` finds its operators in the compiled module ``mmcv._ext``, which
``mmcv-lite`` lacks. :mod:`mmbombo.ops.ext` stands in for it.
"""
import sys
from importlib.util import find_spec

_EXT = 'mmcv._ext'


def provide_operators() -> None:
    """Stand in for ``mmcv._ext`` if it is not installed.

    Compiled operators that are there are never replaced, even if they are
    broken: why is then what the user must know (``ImportError``).
    """
    if _EXT in sys.modules:
        return
    if find_spec(_EXT) is None:
        from . import ext
        sys.modules[_EXT] = ext
        return
    # linked with torch, which MMEngine has imported
    import mmcv._ext  # noqa: F401


def operators_in_use() -> str:
    """Where the operators of ``mmcv.ops`` come from: "compiled", or
    "torchvision" or "torch" of the stand-in."""
    ext = sys.modules.get(_EXT)
    return getattr(ext, 'get_source', lambda: 'compiled')()
