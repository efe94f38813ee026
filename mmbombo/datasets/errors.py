# Copyright (c) mmbombo contributors.
from typing import Sequence

from mmbombo.utils import UserError

#: How many of many problems a message lists.
MAX_LISTED = 5


class DatasetError(UserError):
    """Something on disk or in a data set's config cannot be used.

    The message names the file, the line or the key, and the remedy.
    """


def list_problems(headline: str, problems: Sequence[str]) -> str:
    """Format the first few problems, a line each, and how many there are."""
    lines = [f'{headline} ({len(problems)} in all):', *problems[:MAX_LISTED]]
    if len(problems) > MAX_LISTED:
        lines.append(f'... and {len(problems) - MAX_LISTED} more')
    return '\n  '.join(lines)
