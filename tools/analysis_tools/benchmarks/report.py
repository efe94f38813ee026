# Copyright (c) mmbombo contributors.
"""Rows of any number of runs, in one JSON file and as Markdown beside it."""
import json
from pathlib import Path
from typing import Dict, List

import numpy as np

from mmbombo.utils.atomic_write import atomic_write


def continue_file(file: Path, meta: dict, rows: List[dict]) -> None:
    """Put rows into the results, and keep those of other runs.

    Args:
        file (Path): JSON file; made if absent. Markdown is written beside it.
        meta (dict): With what the rows were measured.
        rows (list[dict]): What ``Row.as_json`` gives. A row replaces that of
            the same name, device and sizes.
    """
    rows = [dict(row, measured=meta) for row in rows]
    new = {identity(row) for row in rows}
    rows = [row for row in read(file) if identity(row) not in new] + rows
    content = json.dumps(dict(meta=meta, rows=rows), indent=1) + '\n'
    atomic_write(file, content.encode())
    atomic_write(file.with_suffix('.md'), document(rows).encode())


def read(file: Path) -> List[dict]:
    """The rows that are there already."""
    return json.loads(file.read_text())['rows'] if file.is_file() else []


def identity(row: dict) -> tuple:
    """What makes it the same figure, measured again."""
    measured = row['measured']
    return (row['name'], measured['device'], measured['size'],
            measured['batch'])


def document(rows: List[dict]) -> str:
    """All that there is to say of the rows, as Markdown.

    Args:
        rows (list[dict]): Of the file.
    """
    sections = [
        '# Speed and memory', 'Either side runs in turn (A B A B), the '
        "libraries' networks in a process without mmbombo; a ratio is the "
        'median over neighbors, with its quartiles. '
        'Rows without a goal are stated only. A row that misses its goal, or '
        'a condition of it, says **missed**. What is compared, the floors '
        'and the times are below the table; the raw times are in the JSON '
        'file of the same name.',
        table(rows)
    ]
    for text, group in by(rows, lambda row: header(row['measured'])).items():
        sections += [f'## {text}', *map(details, group)]
    return '\n\n'.join(sections) + '\n'


def table(rows: List[dict]) -> str:
    """Ratio, spread and goal of each row, as Markdown."""
    lines = [
        '| | pixels | ratio | quartiles | goal | |',
        '| --- | ---: | ---: | --- | --- | --- |'
    ]
    for row in rows:
        low, high = row['spread']
        goal = f'{row["sense"]} {row["goal"]:g}' if row['goal'] else ''
        reached = 'reached' if goal else ''
        lines.append(f'| {row["name"]} | {row["measured"]["size"]} | '
                     f'{row["ratio"]:.3g} | {low:.3g} to {high:.3g} | {goal} '
                     f'| {reached if row["ok"] else "**missed**"} |')
    return '\n'.join(lines)


def header(measured: dict) -> str:
    """Command and machine of a run, on a line."""
    versions = ', '.join(
        f'{name} {found}' for name, found in measured['versions'].items())
    return (f'`{measured["command"]}`\n\n{measured["device"]}, '
            f'{measured["cores"]} cores, threads {measured["threads"]}, load '
            f'{measured["load"]:.1f} at the start, commit '
            f'{measured["commit"]}, Python {measured["python"]}; {versions}')


def details(row: dict) -> str:
    """What a row compares, its times and other figures, as Markdown."""
    lines = [f'**{row["name"]}**: {row["text"]}', '']
    lines += [
        f'- median {side}: {np.median(values):.3g} ms'
        for side, values in row['times'].items()
    ]
    lines += [f'- {key}: {value}' for key, value in row['figures'].items()]
    lines += [
        f'- {key}: {"yes" if holds else "**no**"}'
        for key, holds in row['conditions'].items()
    ]
    return '\n'.join(lines)


def by(rows: List[dict], key) -> Dict[str, List[dict]]:
    """Rows of each key, in their order."""
    groups: Dict[str, List[dict]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
