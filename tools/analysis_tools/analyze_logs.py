# Copyright (c) mmbombo contributors.
"""Draw and tabulate the logs of one training or of several.

    python tools/analysis_tools/analyze_logs.py work_dirs/naive work_dirs/bombo

A run is a work directory, of which a training that was resumed is one run, or
a ``scalars.json``; logs of MMDetection and MMSegmentation do, too. The
picture shows the loss of each task head and weak loss, what the weak losses
and pseudo-label writers say of their labels, the metrics, how gradients agree
(GradientConflictHook), the learning rate, and time and memory of a step; color
is what is measured, the kind of line the run. The table has the last values,
and the difference of two runs.
"""
import argparse
import json
import re
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Tuple


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'runs', nargs='+', type=Path, metavar='RUN',
        help='work directory, or scalars.json')
    parser.add_argument(
        '--out', type=Path, default=Path('logs.png'),
        help='picture; default: %(default)s')
    return parser.parse_args()


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import matplotlib

matplotlib.use('Agg')

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from terminaltables import AsciiTable

from mmbombo.engine.runner.multi_task_log_processor import (OF_ONE_CLASS,
                                                            sum_losses)
from mmbombo.utils import UserError, user_errors

#: Okabe and Ito's colors, which color-blind people tell apart.
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9',
          '#000000', '#8C6D31')
LINES = ('-', '--', ':', '-.')
#: What a step logs beside its losses and diagnostics.
STEP_KEYS = ('base_lr', 'lr', 'loss', 'time', 'data_time', 'memory', 'iter',
             'epoch', 'step', 'grad_norm')

Series = Dict[str, Tuple[np.ndarray, np.ndarray]]


class Run(NamedTuple):
    """The series of a run: steps and values by key."""
    name: str
    train: Series
    val: Series


class Cell(NamedTuple):
    """A value of the table, NaN if the run has none."""
    value: float = np.nan
    highest: float = -np.inf

    def text(self) -> str:
        """Four digits, and the highest value if it was not the last."""
        if np.isnan(self.value):
            return '-'
        if self.highest > self.value:
            return f'{self.value:.4g} (highest {self.highest:.4g})'
        return f'{self.value:.4g}'


class Panel(NamedTuple):
    """An axis of the picture, and what is drawn there."""
    title: str
    pick: Callable[[Run], Series]
    log: bool = False
    xlabel: str = 'step'


def named(paths: List[Path]) -> List[Run]:
    """Read runs; their names are the shortest that tell them apart."""
    names = [path.name for path in paths]
    if len({*names}) < len(names):
        names = [str(path) for path in paths]
    return [read_run(path)._replace(name=x) for path, x in zip(paths, names)]


def read_run(path: Path) -> Run:
    """Read a work directory or a log."""
    files = [path] if path.is_file() else sorted(
        path.rglob('vis_data/scalars.json'))
    if not files:
        raise UserError(
            f"'{path}' is no log and has none (*/vis_data/scalars.json): give "
            'a work directory of tools/train.py')
    # by step, for a training that was resumed repeats some
    train: Dict[int, dict] = {}
    val: Dict[int, dict] = {}
    for file in files:
        for number, text in enumerate(
                file.read_text(encoding='utf-8').splitlines(), 1):
            row = read_line(text, f'{file}:{number}')
            rows = train if 'loss' in row or any(
                x.startswith('train/') for x in row) else val
            rows.setdefault(row['step'], {}).update(row)
    if not train and not val:
        raise UserError(f"'{path}' has no logged step: default_hooks.logger."
                        'interval may be longer than the training')
    return Run(str(path), series_of(train), series_of(val))


def read_line(text: str, where: str) -> dict:
    """A line of the log."""
    try:
        row = json.loads(text)
        return dict(row, step=int(row['step']))
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{where}: '{text[:60]}' is no JSON object with a "
                        "'step', as MMEngine's scalars.json has") from None


def series_of(rows: Dict[int, dict]) -> Series:
    """Steps and values of all that is a number."""
    found: Dict[str, list] = {}
    for step in sorted(rows):
        for key, value in rows[step].items():
            if isinstance(value, (int, float)):
                found.setdefault(key, []).append((step, value))
    return {
        key: (np.array(points)[:, 0], np.array(points, float)[:, 1])
        for key, points in found.items()
    }


def losses(run: Run) -> Series:
    """The loss of each head and weak loss."""
    steps, _ = run.train.get('loss', ((), ()))
    sums: Dict[str, list] = {}
    values = {k: dict(zip(*v)) for k, v in run.train.items()}
    for step in steps:
        parts = sum_losses(
            {k: v[step]
             for k, v in values.items() if step in v})
        for name, value in parts.items():
            sums.setdefault(name, []).append((step, value))
    return {name: tuple(np.array(x).T) for name, x in sums.items()}


def diagnostics(run: Run) -> Series:
    """What is logged of pseudo labels and by heads."""
    return {
        key.removeprefix('train/'): series
        for key, series in run.train.items()
        if 'loss' not in key and key not in STEP_KEYS
    }


def unit_of(key: str, values: np.ndarray) -> str:
    """In what a diagnostic is counted, by its name and size."""
    if re.search(r'(^|/)num_|per_image', key):
        return 'counts'
    return 'shares' if values.max() <= 1 else 'percent and other'


def diagnostics_in(unit: str) -> Callable[[Run], Series]:
    """Picks the diagnostics of a unit."""
    return lambda run: {
        k: v for k, v in diagnostics(run).items() if unit_of(k, v[1]) == unit
    }


def metrics(run: Run) -> Series:
    """Metrics of all classes, in percent."""
    return {
        key: (steps, values * percent(key, values))
        for key, (steps, values) in run.val.items()
        # COCO's metrics are -1 where there is no object
        if '/' in key and not OF_ONE_CLASS.search(key) and values.max() >= 0
        and not key.startswith('grad_')
    }


def percent(key: str, values: np.ndarray) -> int:
    """MMSegmentation's metrics are percentages, MMDetection's are shares."""
    is_share = not key.startswith('seg/') and np.nanmax(values) <= 1
    return 100 if is_share else 1


def gradients(kind: str) -> Callable[[Run], Series]:
    """Picks what compares gradients on the whole shared network, by pair."""
    return lambda run: {
        key.split('/')[1]: series
        for key, series in run.val.items()
        if key.startswith(f'grad_{kind}/') and key.endswith('/all')
    }


def cosines_of_stages(run: Run) -> Series:
    """Mean cosine over the run of each pair on each stage, from the images
    to the heads; NaN where only one of a pair has a gradient."""
    means = {
        tuple(key.split('/')[1:]): values.mean()
        for key, (_, values) in run.val.items()
        if key.startswith('grad_cosine/') and not key.endswith('/all')
    }
    stages = list(dict.fromkeys(stage for _, stage in means))
    ticks = np.array([x.removeprefix('backbone.') for x in stages])
    return {
        pair: (ticks, np.array([means.get((pair, x), np.nan)
                                for x in stages]))
        for pair in dict.fromkeys(pair for pair, _ in means)
    }


def of(*keys: str) -> Callable[[Run], Series]:
    """Picks keys of the steps."""
    return lambda run: {k: run.train[k] for k in keys if k in run.train}


PANELS = (Panel('loss of each head and weak loss', losses, True),
          Panel('metrics, %', metrics),
          *(Panel(f'pseudo labels and diagnostics, {unit}',
                  diagnostics_in(unit))
            for unit in ('counts', 'shares', 'percent and other')),
          Panel('cosine of gradients, shared network', gradients('cosine')),
          Panel('mean cosine of gradients by stage', cosines_of_stages,
                xlabel=''),
          Panel('ratio of norms of gradients', gradients('ratio'), True),
          Panel('learning rate', of('lr'), True),
          Panel('seconds of a step', of('time', 'data_time')),
          Panel('memory, MiB', of('memory')))


def draw(runs: List[Run], out: Path) -> None:
    """Draw the panels that have something to show."""
    shown = [x for x in PANELS if any(x.pick(run) for run in runs)]
    columns = 2 if len(shown) > 1 else 1
    rows = -(-len(shown) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(7.5 * columns, 3.6 * rows), squeeze=False,
        layout='constrained')
    for panel, axis in zip(shown, axes.flat):
        draw_panel(axis, panel, runs)
    for axis in axes.flat[len(shown):]:
        axis.remove()
    if len(runs) > 1:
        figure.legend(
            [Line2D([], [], color='gray', ls=LINES[i % 4])
             for i in range(len(runs))], [run.name for run in runs],
            loc='outside upper center', ncols=2, frameon=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    plt.close(figure)


def draw_panel(axis: Axes, panel: Panel, runs: List[Run]) -> None:
    """Draw what the runs have, a color for each key."""
    picked = [panel.pick(run) for run in runs]
    keys = list(dict.fromkeys(key for series in picked for key in series))
    for color, key in enumerate(keys):
        for i, series in enumerate(picked):
            if key in series:
                axis.plot(
                    *series[key], LINES[i % 4], lw=1.6,
                    color=COLORS[color % len(COLORS)],
                    marker='.' if len(series[key][0]) < 30 else None,
                    # a second turn through the colors is thin
                    alpha=1 if color < len(COLORS) else .45)
    axis.legend(
        [Line2D([], [], color=COLORS[i % len(COLORS)], lw=2.5,
                alpha=1 if i < len(COLORS) else .45)
         for i in range(len(keys))], keys, fontsize=8, frameon=False,
        loc='upper left', bbox_to_anchor=(1, 1))
    if panel.log:
        axis.set_yscale('log')
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter('{x:g}')
        axis.yaxis.set_minor_formatter(NullFormatter())
    else:
        axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
    if axis.get_ylim()[0] < 0:
        axis.axhline(0, color='gray', lw=1)
    axis.set(title=panel.title, xlabel=panel.xlabel)
    if not panel.xlabel:  # it has names
        axis.tick_params('x', rotation=45)
    axis.grid(alpha=.3)
    axis.spines[['top', 'right']].set_visible(False)


def table(runs: List[Run]) -> str:
    """Last losses, diagnostics and metrics, and what a step costs."""
    columns = [summarize(run) for run in runs]
    heads = ['last', *(run.name for run in runs)]
    if len(runs) == 2:
        heads.append('difference')
    rows = [heads]
    for key in dict.fromkeys(key for x in columns for key in x):
        cells = [x.get(key, Cell()) for x in columns]
        row = [key, *(cell.text() for cell in cells)]
        if len(runs) == 2:
            difference = cells[1].value - cells[0].value
            row.append('' if np.isnan(difference) else f'{difference:+.3g}')
        rows.append(row)
    result = AsciiTable(rows)
    result.justify_columns = dict.fromkeys(range(1, len(heads)), 'right')
    return result.table


def summarize(run: Run) -> Dict[str, Cell]:
    """The lines of the table of a run."""
    found = {}
    if run.train:
        found['steps'] = Cell(max(x[-1] for x, _ in run.train.values()))
    for name, (_, values) in {**of('loss')(run), **losses(run),
                              **diagnostics(run)}.items():
        found[name] = Cell(values[-1])
    for name, (_, values) in metrics(run).items():
        found[f'{name}, %'] = Cell(values[-1], np.nanmax(values))
    for name, (_, values) in gradients('cosine')(run).items():
        found[f'cosine {name} (mean)'] = Cell(values.mean())
    for name in ('time', 'data_time'):
        if name in run.train:
            found[f'{name}, s (median)'] = Cell(np.median(run.train[name][1]))
    if 'memory' in run.train:
        found['memory, MiB (most)'] = Cell(run.train['memory'][1].max())
    return found


@user_errors()
def main() -> None:
    args = parse_args()
    runs = named(args.runs)
    draw(runs, args.out)
    print(table(runs))
    print(f'picture: {args.out}')


if __name__ == '__main__':
    main()
