# Copyright (c) mmbombo contributors.
"""What users did wrong in one line, and bugs with their traceback.

A check that fails says what is wrong and what to do. The sixty lines of the
libraries' frames above it, through registries and runners, hide that.
"""
import dis
import os.path as osp
import sys
from contextlib import contextmanager
from types import TracebackType
from typing import Iterator, Optional

from mmengine.config import Config

from .download import DownloadError, keys_of

PACKAGE = __name__.split('.')[0]
#: Errors of MMEngine that are its users': unknown types and arguments of
#: parts of a config, and files that are not there.
THEIR_CHECKS = {
    'mmengine.registry': (KeyError, TypeError),
    'mmengine.config': (OSError, ),
    'mmengine.utils.path': (OSError, ),
}
#: Where MMEngine raises an exception again with more words: as ``class X in
#: file: message`` what a part said when it was built, in some versions, and as
#: ``message in <hook>`` a TypeError of a hook.
RAISED_AGAIN = ('mmengine.registry', 'mmengine.runner')
#: How an exception begins that a worker of a data loader hands on.
FROM_WORKER = 'Caught '


@contextmanager
def user_errors(cfg: Optional[Config] = None) -> Iterator[None]:
    """End the process with one line if a check has failed.

    A check is what a ``raise`` of this package says, other than an assertion,
    and what MMEngine says of a part of a config that cannot be built. Any
    other exception passes, with its traceback: it is a bug, or the user's own
    code. The line names where the check stands.

    Args:
        cfg (Config, optional): The config, to name the key of a file that
            cannot be downloaded. Defaults to None.

    Raises:
        SystemExit: With that line.
    """
    try:
        yield
    except Exception as error:
        line = describe_check(error, cfg)
        if line is None:
            raise
        sys.exit(line)


def describe_check(error: Exception,
                   cfg: Optional[Config] = None) -> Optional[str]:
    """Format the exception of a failed check.

    Args:
        error (Exception): An exception that was caught.
        cfg (Config, optional): The config. Defaults to None.

    Returns:
        str | None: Type, message and place; None if it is no check's.
    """
    # here, not above: the data sets import this package's utilities
    from mmbombo.datasets import DatasetError, PipelineError
    error = _unwrapped(error)
    text = f'{type(error).__name__}: {_message(error)}'
    if isinstance(error, (DatasetError, PipelineError)):
        return text
    last = _last(error.__traceback__)
    if isinstance(error, DownloadError):
        keys = [] if cfg is None else list(keys_of(error.name, cfg))
        options = ' '.join(f'{key}=FILE' for key in keys)
        return f'{text}: --cfg-options {options}' if keys else text
    if _is_own_check(error, last):
        return f'{text} [{_place(last)}]'
    return text if _is_their_check(error, last) else None


def _unwrapped(error: Exception) -> Exception:
    """What was said before MMEngine said it again."""
    cause = error.__context__
    module = _module(_last(error.__traceback__))
    if isinstance(cause, type(error)) and module.startswith(RAISED_AGAIN):
        return _unwrapped(cause)
    return error


def _message(error: Exception) -> str:
    # str() of a KeyError quotes the message, and escapes its line breaks
    text = str(error.args[0]) if isinstance(
        error, KeyError) and error.args else str(error)
    start = f'{type(error).__name__}: '
    if text.startswith(FROM_WORKER) and start in text:
        return text[text.rindex(start) + len(start):].rstrip()
    return text


def _last(traceback: Optional[TracebackType]) -> Optional[TracebackType]:
    """The innermost frame, where an exception was raised."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback


def _module(last: Optional[TracebackType]) -> str:
    return '' if last is None else last.tb_frame.f_globals.get('__name__', '')


def _is_own_check(error: Exception, last: Optional[TracebackType]) -> bool:
    if last is None or isinstance(error, (AssertionError, NotImplementedError,
                                          AttributeError)):
        return False
    if _module(last).split('.')[0] != PACKAGE:
        return False
    instruction = last.tb_frame.f_code.co_code[last.tb_lasti]
    return dis.opname[instruction] == 'RAISE_VARARGS'


def _is_their_check(error: Exception, last: Optional[TracebackType]) -> bool:
    module = _module(last)
    return any(
        module.startswith(name) and isinstance(error, kinds)
        for name, kinds in THEIR_CHECKS.items())


def _place(last: TracebackType) -> str:
    path = last.tb_frame.f_code.co_filename
    root = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
    return f'{osp.relpath(path, root)}:{last.tb_lineno}'
