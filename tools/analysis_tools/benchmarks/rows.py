# Copyright (c) mmbombo contributors.
"""Two sides measured in turn, and the rows that say what came out."""
import json
import time
from argparse import Namespace
from pathlib import Path
from typing import Callable, List, Sequence, Tuple

import numpy as np
import torch

PREFACE = """# Speed and memory

One row per name: the median of the ratios of pairs measured in turn (A B A B),
its quartiles, and the 95 % bootstrap interval of the median; less is better.
Sides that should compute the same are compared before anything is timed. What
misses its goal says **missed**.

All of it was measured on CPUs. Nobody has run this on a GPU yet; until then
there are no figures of one. `bash tools/misc/gpu_check.sh WHEELS`, 12 minutes
without a network, writes them into `gpu_check.json`, which then stands here.

| | ratio | quartiles | 95 % | goal | | what is compared | run |
| --- | ---: | --- | --- | ---: | --- | --- | ---: |"""


def milliseconds(function: Callable, device: str = 'cpu') -> float:
    """How long a call takes, with what it told the device to do."""
    wait = torch.cpu if device == 'cpu' else torch.cuda
    wait.synchronize()
    start = time.perf_counter()
    function()
    wait.synchronize()
    return (time.perf_counter() - start) * 1e3


def in_turn(first: Callable, second: Callable, repeats: int,
            device: str) -> Tuple[List[float], List[float]]:
    """Times of two functions, A B A B, the first pair not counted."""
    pairs = [[milliseconds(side, device) for side in (first, second)]
             for _ in range(1 + repeats)]
    return tuple(map(list, zip(*pairs[1:])))


def require_same(same: bool, what: str) -> None:
    """Refuse to time two sides that do not compute the same."""
    if not same:
        raise RuntimeError(f'{what} of both sides differ; nothing is timed')


def compare(options: Namespace, name: str, text: str, goal: float,
            **sides: Callable) -> dict:
    """Row of two functions, A and B; ``goal`` is the largest good A / B."""
    times = in_turn(*sides.values(), options.repeats, options.device)
    return make_row(name, text, goal, np.divide(*times), zip(sides, times))


def make_row(name: str,
             text: str,
             goal: float,
             ratios: Sequence[float],
             times: Sequence[tuple] = ()) -> dict:
    """A row, as it is written: of ratios, and of each side's milliseconds."""
    low, ratio, high = np.percentile(ratios, (25, 50, 75))
    medians = [f'{side} {rounded(np.median(ms)):,g} ms' for side, ms in times]
    return dict(
        name=name,
        ratio=rounded(ratio),
        quartiles=[rounded(low), rounded(high)],
        interval=[rounded(x) for x in interval_of(ratios)],
        goal=rounded(goal),
        ok=bool(ratio <= goal),
        text=', '.join([text, *medians, f'n = {len(ratios)}']))


def rounded(value: float) -> float:
    """Four significant digits."""
    return float(f'{value:.4g}')


def interval_of(ratios: Sequence[float]) -> np.ndarray:
    """95 % bootstrap interval of the median; the same one each time.

    Quartiles say how much a ratio varies, this how well its median is known.
    """
    drawn = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    return np.percentile(np.median(drawn, axis=1), (2.5, 97.5))


def continue_file(file: Path, row: dict) -> None:
    """Put a row, with its ``run``, in the place of that of its name."""
    rows = json.loads(file.read_text()) if file.is_file() else []
    rows = {other['name']: other for other in rows}
    rows[row['name']] = row
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = ',\n'.join(map(json.dumps, rows.values()))
    file.write_text(f'[\n{lines}\n]\n')
    file.with_suffix('.md').write_text(document([*rows.values()]))


def document(rows: List[dict]) -> str:
    """A table of all rows, and with what they were measured."""
    runs = list(dict.fromkeys(run_text(row['run']) for row in rows))
    lines = [PREFACE]
    for row in rows:
        number = 1 + runs.index(run_text(row['run']))
        lines.append(f'| {" | ".join(cells(row))} | {number} |')
    lines += ['', '## Runs', '']
    lines += [f'{number}. {run}' for number, run in enumerate(runs, start=1)]
    return '\n'.join(lines) + '\n'


def cells(row: dict) -> List[str]:
    """A line of the table."""
    quartiles, interval = (' to '.join(
        dict.fromkeys(f'{x:.3g}' for x in row[ends]))
                           for ends in ('quartiles', 'interval'))
    reached = 'reached' if row['ok'] else '**missed**'
    return [
        row['name'], f'{row["ratio"]:.3g}', quartiles, interval,
        f'{row["goal"]:.3g}', reached, row['text']
    ]


def run_text(run: dict) -> str:
    """Command, date, commit and machine of a run."""
    versions = ', '.join(f'{name} {found}'
                         for name, found in run['versions'].items()
                         if name == 'torch' or 'mm' in name)
    return (f'`{run["command"]}`: {run["date"]}, commit {run["commit"]}; '
            f'{run["device"]}, {run["cores"]} cores, {run["threads"]} '
            f'thread(s), load {run["load"]} at the start; Python '
            f'{run["python"]}, {versions}')
