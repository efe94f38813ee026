# Copyright (c) mmbombo contributors.
"""Which class an id of a mask means: told, from a file beside, or asked."""
import csv
import json
import os.path as osp
from typing import Dict, Optional, Sequence

from mmbombo.datasets.coco_json import MAP_RECORD
from mmbombo.datasets.errors import DatasetError

BESIDE = (MAP_RECORD, 'classes.txt', 'classes.csv', 'legend.csv', 'labels.txt')
IGNORED = ('ignore', 'ignored', 'void', 'unlabeled', 'unlabelled')


def name_ids(folder: str, given: Optional[Sequence[str]],
             ids: Sequence[int]) -> Dict[int, str]:
    """Id to name.

    Args:
        folder (str): The masks'.
        given (Sequence[str], optional): Names in the order of the ids, or
            ``id=name``, or a file with them.
        ids (Sequence[int]): Ids that occur.

    Raises:
        DatasetError: If an id has no name, with the option that gives it.
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
            f'{folder}: no name for the id(s) {missing} of the masks in {source}; '
            'name all ids with --mask-classes, such as '
            + ' '.join(f'{x}=NAME' for x in ids[:4]) +
            ' (NAME "ignore" for what no class is), or with a file of lines '
            '"id,name"')
    return names


def parse_names(given: Sequence[str]) -> Dict[int, str]:
    """Names, or ``id=name``."""
    if not any('=' in word for word in given):
        return dict(enumerate(given))
    names = {}
    for word in given:
        number, _, name = word.partition('=')
        if not number.isdigit() or not name:
            raise DatasetError(f'--mask-classes {word}: not id=name')
        names[int(number)] = name
    return names


def read_names(path: str) -> Dict[int, str]:
    """Names of a file: the record of coco_semantic.py, a name a line, or
    lines ``id,name`` with or without a header."""
    if path.endswith('.json'):
        with open(path, encoding='utf-8') as file:
            return dict(enumerate(json.load(file)['classes']))
    with open(path, newline='', encoding='utf-8-sig') as file:
        rows = [[x.strip() for x in row] for row in csv.reader(file) if row]
    rows = [row for row in rows if not row[0].startswith('#')]
    if all(len(row) == 1 for row in rows):
        return dict(enumerate(row[0] for row in rows))
    names = {int(row[0]): row[1] for row in rows if row[0].isdigit()}
    if not names:
        raise DatasetError(f'{path}: no line "id,name" in it')
    return names
