# Copyright (c) mmbombo contributors.
import csv
import json
from contextlib import contextmanager
from typing import Any, Iterator, Sequence

from mmbombo.utils import UserError

#: How many of many problems a message lists.
MAX_LISTED = 5
#: What the parsing of a malformed file raises.
MALFORMED = (OSError, ValueError, TypeError, LookupError, AttributeError,
             OverflowError, RecursionError, csv.Error)


class DatasetError(UserError):
    """Something on disk or in a data set's config cannot be used.

    The message names the file, the line or the key, and the remedy.
    """


@contextmanager
def reading(path: str, what: str) -> Iterator[None]:
    """Whatever is wrong with a file that is read in here is a ``DatasetError``
    that names it: it is not what it should be."""
    try:
        yield
    except DatasetError:
        raise
    except FileNotFoundError:
        raise DatasetError(f'{path} does not exist') from None
    except MALFORMED as error:
        cause = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise DatasetError(f'{path}: not {what} ({cause}); correct it, or '
                           'export it anew') from error


def read_json(path: str, what: str = 'a JSON file') -> Any:
    """The content of a JSON file."""
    with reading(path, what), open(path, encoding='utf-8-sig') as file:
        return json.load(file)


def list_problems(headline: str, problems: Sequence[str]) -> str:
    """Format the first few problems, a line each, and how many there are."""
    lines = [f'{headline} ({len(problems)} in all):', *problems[:MAX_LISTED]]
    if len(problems) > MAX_LISTED:
        lines.append(f'... and {len(problems) - MAX_LISTED} more')
    return '\n  '.join(lines)
