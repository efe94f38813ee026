# Copyright (c) mmbombo contributors.
from typing import Dict, List, Tuple

from .errors import DatasetError


def read_ids(path: str) -> Dict[str, int]:
    """Read a list of image ids, one per line.

    Args:
        path (str): A UTF-8 text file.

    Returns:
        dict[str, int]: Image id to line number, in the order of the list.

    Raises:
        DatasetError: Naming a line that is no id, or repeats one.
    """
    lines: Dict[str, int] = {}
    for number, line in number_lines(path):
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


def number_lines(path: str) -> List[Tuple[int, str]]:
    """The non-empty lines of a list file with their numbers, from 1.

    Args:
        path (str): A UTF-8 text file.

    Returns:
        list[tuple[int, str]]: Line number and stripped line.
    """
    with open(path, encoding='utf-8') as file:
        lines = enumerate(map(str.strip, file), start=1)
        return [(number, line) for number, line in lines if line]
