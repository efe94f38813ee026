# Copyright (c) mmbombo contributors.
from typing import Dict

from .errors import DatasetError, reading


def read_ids(path: str) -> Dict[str, int]:
    """Read a list of image ids, one per line; image id to line number.

    Raises ``DatasetError`` naming a line that is no id, or repeats one.
    """
    lines: Dict[str, int] = {}
    with reading(path, 'a list of image ids'), \
            open(path, encoding='utf-8') as file:
        content = [line.strip() for line in file]
    for number, line in enumerate(content, start=1):
        if not line:
            continue
        place = f'{path} line {number}'
        # An id is a file name: it must not lead out of the data root.
        if line in ('.', '..') or set(line) & set('/\\\0'):
            raise DatasetError(f'{place}: {line!r} is not an image id')
        if len(line.split()) > 1:
            raise DatasetError(f'{place}: {line!r} is more than an image id; '
                               'per-class lists are not read')
        if line in lines:
            raise DatasetError(f'{place}: {line!r} is listed already in line '
                               f'{lines[line]}')
        lines[line] = number
    return lines
