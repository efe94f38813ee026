# Copyright (c) mmbombo contributors.
"""Mistakes of users in one line, and bugs with their traceback."""
import errno
import sys
import traceback
from contextlib import contextmanager
from typing import Iterator

from mmengine.config.utils import ConfigParsingError

from .unknown_arguments import unknown_argument

#: Mistakes that MMEngine finds, by where it says so: unknown types and
#: arguments of parts of a config, keys that cannot be overridden, and files
#: that are not there.
MMENGINE_CHECKS = {
    'mmengine.registry': (KeyError, TypeError),
    'mmengine.utils.manager': (TypeError, ),
    'mmengine.config': (ConfigParsingError, OSError, TypeError),
    'mmengine.utils.path': (OSError, ),
}
#: What a file system says that is full, read-only or someone else's.
REFUSED_WRITES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS,
                  errno.EACCES)
#: How PyTorch says that a worker of a data loader was killed.
DEAD_WORKER = 'DataLoader worker (pid'
#: How an exception begins that a worker of a data loader hands on.
FROM_WORKER = 'Caught '


class UserError(ValueError):
    """A mistake in a config, its data, a checkpoint or a command line.

    The message names the file or the key, and the remedy.
    """


class MissingFileError(UserError, FileNotFoundError):
    """A file that a user names is not there."""


@contextmanager
def user_errors() -> Iterator[None]:
    """End the process with one line where a user has made a mistake.

    For ``with`` and as a decorator of ``main()``; the exit status is then 1.
    Any other exception passes with its traceback: it is a bug, or the user's
    own code.
    """
    try:
        yield
    except Exception as error:
        unknown, refusing = unknown_argument(error), _refusing_class(error)
        if not (unknown or isinstance(error, UserError)
                or _found_by_mmengine(error) or refusing
                or getattr(error, 'errno', None) in REFUSED_WRITES
                or str(error).startswith(DEAD_WORKER)):
            raise
        place = f'{refusing}: ' if refusing else ''
        sys.exit(f'{type(error).__name__}: {place}'
                 f'{unknown or _message(error)}')


def _found_by_mmengine(error: Exception) -> bool:
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    module = frame.f_globals.get('__name__', '')
    return any(
        module.startswith(place) and isinstance(error, kinds)
        for place, kinds in MMENGINE_CHECKS.items())


def _refusing_class(error: Exception) -> str:
    """The class that refuses what a config gives it, or nothing.

    It is so if nothing but its ``__init__`` and those of its bases lie between
    its building and the error.
    """
    if isinstance(error, UserError) or not isinstance(
            error, (ValueError, AssertionError, TypeError)):
        return ''
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = [frame.f_globals.get('__name__', '') for frame in frames]
    # a wrong type is rather a bug, but where nothing looks at types
    if isinstance(error, TypeError) and 'torch.optim' not in modules[-1]:
        return ''
    kind = ''
    while frames and frames[-1].f_code.co_name == '__init__':
        kind = type(frames.pop().f_locals.get('self')).__name__
    built = frames and modules[len(frames) - 1].startswith('mmengine.registry')
    return kind if built and str(error) else ''


def _message(error: Exception) -> str:
    # str() of a KeyError is the quoted message
    text = str(error.args[0] if isinstance(error, KeyError) else error)
    name = f'{type(error).__name__}: '
    # A worker hands on its traceback, which ends with the message.
    if text.startswith(FROM_WORKER) and name in text:
        text = text[text.rindex(name) + len(name):].rstrip()
    return text
