# Copyright (c) mmbombo contributors.
"""Mistakes of users in one line, and bugs with their traceback."""
import difflib
import inspect
import re
import sys
import traceback
from contextlib import contextmanager
from typing import Iterable, Iterator

#: Mistakes that MMEngine finds, by where it says so: unknown types and
#: arguments of parts of a config, keys that cannot be overridden, and files
#: that are not there.
MMENGINE_CHECKS = {
    'mmengine.registry': (KeyError, TypeError),
    'mmengine.utils.manager': (TypeError, ),
    'mmengine.config': (OSError, TypeError),
    'mmengine.utils.path': (OSError, ),
}
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
        unknown = _unknown_argument(error)
        if not (unknown or isinstance(error, UserError)
                or _found_by_mmengine(error)):
            raise
        sys.exit(f'{type(error).__name__}: {unknown or _message(error)}')


def did_you_mean(word: str,
                 words: Iterable[str],
                 cutoff: float = .6) -> str:
    """The end of a message about an unknown word: the nearest known one."""
    nearest = difflib.get_close_matches(word, words, 1, cutoff)
    return f'; did you mean {nearest[0]!r}?' if nearest else ''


def argument_names(kind: type) -> Iterator[str]:
    """What a class and its bases take."""
    for base in kind.__mro__[:-1]:
        yield from inspect.signature(base.__init__).parameters


def _unknown_argument(error: Exception) -> str:
    """What to say of a key that a class does not take, if the error is of
    one that was handed on from a config."""
    found = re.search(
        r"(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'",
        str(error)) if isinstance(error, TypeError) else None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not found or not any(
            frame.f_globals.get('__name__', '').startswith(
                ('mmengine.registry', 'mmengine.runner')) for frame in frames):
        return ''
    name, key = found.groups()
    last = frames[-1]
    handed_on = any(
        isinstance(x, dict) and key in x for x in last.f_locals.values())
    if not handed_on:
        return ''
    kind = last.f_locals.get('obj_cls') or last.f_globals.get(name)
    if 'self' in last.f_locals and not isinstance(kind, type):
        kind = type(last.f_locals['self'])
    known = argument_names(kind) if isinstance(kind, type) else ()
    name = getattr(kind, '__name__', name)
    return (f'{name} got an unexpected keyword argument {key!r}'
            f'{did_you_mean(key, known)}')


def _found_by_mmengine(error: Exception) -> bool:
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    module = frame.f_globals.get('__name__', '')
    return any(
        module.startswith(place) and isinstance(error, kinds)
        for place, kinds in MMENGINE_CHECKS.items())


def _message(error: Exception) -> str:
    # str() of a KeyError is the quoted message
    text = str(error.args[0] if isinstance(error, KeyError) else error)
    name = f'{type(error).__name__}: '
    # A worker hands on its traceback, which ends with the message.
    if text.startswith(FROM_WORKER) and name in text:
        text = text[text.rindex(name) + len(name):].rstrip()
    return text
