# Copyright (c) mmbombo contributors.
"""Misspelt words of a config, and what was meant."""
import difflib
import inspect
import re
import traceback
from typing import Iterable, Iterator

#: Python's message, of a class that a config names.
UNEXPECTED = re.compile(
    r"(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'")
#: Who builds classes from configs.
BUILDERS = ('mmengine.registry', 'mmengine.runner')


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


def unknown_argument(error: Exception) -> str:
    """What to say of a key that a class does not take, if that is the error,
    and the key came from a config; else nothing."""
    found = UNEXPECTED.search(str(error))
    if not found or not isinstance(error, TypeError):
        return ''
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = [frame.f_globals.get('__name__', '') for frame in frames]
    if not any(module.startswith(BUILDERS) for module in modules):
        return ''
    name, key = found.groups()
    values = frames[-1].f_locals
    # handed on in a dict; what our code itself spells wrong is a bug
    if not any(isinstance(x, dict) and key in x for x in values.values()):
        return ''
    kind = values.get('obj_cls') or frames[-1].f_globals.get(name)
    if 'self' in values and not isinstance(kind, type):
        kind = type(values['self'])
    known = argument_names(kind) if isinstance(kind, type) else ()
    return (f'{getattr(kind, "__name__", name)} got an unexpected keyword '
            f'argument {key!r}{did_you_mean(key, known)}')
