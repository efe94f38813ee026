# Copyright (c) mmbombo contributors.
"""Which class an id of a mask means: told, from a file beside, or asked."""
import csv
import os.path as osp
from typing import Dict, List, Optional, Sequence, Tuple, Union

from mmbombo.datasets.coco_json import MAP_RECORD, read_map_record
from mmbombo.datasets.errors import DatasetError, reading

BESIDE = (MAP_RECORD, 'classes.txt', 'classes.csv', 'legend.csv', 'labels.txt',
          'labelmap.txt')
#: An id, or a color (r, g, b).
Value = Union[int, Tuple[int, ...]]
IGNORED = ('ignore', 'ignored', 'void', 'unlabeled', 'unlabelled')


def name_ids(folder: str, given: Optional[Sequence[str]],
             ids: Sequence[Value]) -> Dict[Value, str]:
    """Names of the ids (or colors) that occur in the masks of a folder.

    Given are names in the order of the ids, or ``id=name``, or a file with
    them; else a file beside the masks is read.
    """
    source = '--mask-classes'
    if given and len(given) == 1 and osp.isfile(given[0]):
        source, names = given[0], read_names(given[0])
    elif given:
        names = parse_names(given)
    else:
        beside = [
            osp.join(place, file) for place in (folder, osp.dirname(folder))
            for file in BESIDE if osp.isfile(osp.join(place, file))
        ]
        names = read_names(beside[0]) if beside else {}
        source = beside[0] if beside else 'classes.txt or legend.csv'
    missing = [x for x in ids if x not in names]
    if missing:
        raise DatasetError(
            f'{folder}: no name for the id(s) {missing} of the masks in '
            f'{source}; name all ids with --mask-classes, such as ' +
            ' '.join(f'{show(x)}=NAME' for x in ids[:4]) +
            ' (NAME "ignore" for what no class is), or with a file of lines '
            '"id,name" or "name,r,g,b"')
    return names


def parse_names(given: Sequence[str]) -> Dict[Value, str]:
    """Names, or ``id=name``; names may stand in one word, ``road,car``."""
    if len(given) == 1 and '=' not in given[0]:
        given = given[0].split(',')
    if not any('=' in word for word in given):
        return dict(enumerate(given))
    names = {}
    for word in given:
        number, _, name = word.partition('=')
        if not number.replace(',', '').isdigit() or not name:
            raise DatasetError(f'--mask-classes {word}: not id=name')
        names[value(number.split(','))] = name
    return names


def value(words: Sequence[str]) -> Value:
    """An id of one word, or a color of three."""
    numbers = tuple(map(int, words))
    return numbers[0] if len(numbers) == 1 else numbers


def show(number: Value) -> str:
    """An id or a color as it is given on the command line."""
    return ','.join(map(str, number)) if isinstance(number,
                                                    tuple) else str(number)


def read_names(path: str) -> Dict[Value, str]:
    """Names of a file: the record of coco_semantic.py, a name a line, or
    lines ``id,name`` or ``name,r,g,b`` with or without a header."""
    if path.endswith('.json'):
        return dict(enumerate(read_map_record(path)))
    with reading(path, 'names of classes'), \
            open(path, encoding='utf-8-sig') as file:
        # CVAT's labelmap.txt: name:r,g,b:parts:actions
        text = file.read().replace(':', ',').splitlines()
        lines = [*csv.reader(text)]
    rows = [[x.strip() for x in row if x.strip()] for row in lines]
    rows = [row for row in rows if row and not row[0].startswith('#')]
    if all(len(row) == 1 for row in rows):
        return dict(enumerate(row[0] for row in rows))
    names = dict(filter(None, map(read_row, rows)))
    if not names:
        raise DatasetError(f'{path}: no line "id,name" or "name,r,g,b" in it')
    return names


def read_row(row: List[str]) -> Optional[Tuple[Value, str]]:
    """What a line with an id or a color says; None of a header."""
    for numbers, names in ((row[:-1], row[-1:]), (row[1:], row[:1]),
                           (row[:1], row[1:2]), (row[:3], row[3:4])):
        if len(numbers) in (1, 3) and names and all(x.isdigit()
                                                    for x in numbers):
            return value(numbers), names[0]
    return None
