# Copyright (c) mmbombo contributors.
"""Train the ablation and print what each weak loss is worth.

    python tools/analysis_tools/ablation.py --seeds 0 1 2

trains the rows of ``configs/ablation.yml`` with each seed, all with the same
data, resolution and number of iterations. Every finished run is kept in the
results' JSON file; the same command continues after an interruption. Runs
whose config or data have changed since are trained again, and the table is of
those that have not. A teacher whose checkpoint is gone is trained again when
a row needs it.
"""
import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Set

import numpy as np
from mmengine.config import Config
from mmengine.logging import MMLogger

ROOT = Path(__file__).resolve().parents[2]
MAIN_ROWS = ('naive', 'oracle', 'bombo', 'det', 'seg', 'b4m', 'm4b')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--bench', type=Path, default=ROOT / 'configs' / 'ablation.yml',
        help='YAML file that lists the rows; default: configs/ablation.yml')
    parser.add_argument(
        '--rows', nargs='+', default=MAIN_ROWS, metavar='ROW',
        help=f'default: {" ".join(MAIN_ROWS)}; "all" for every row')
    parser.add_argument(
        '--seeds', nargs='+', type=int, default=[0], metavar='SEED',
        help='each row is trained with each of them; default: 0')
    parser.add_argument(
        '--iters', type=int, help="instead of the bench's own number")
    parser.add_argument(
        '--jobs', type=int, default=1,
        help='runs at a time, which share the processor; default: 1. Two '
        'runs of one thread finish earlier than one of two threads after '
        'the other')
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/ablation'),
        help='where the runs are trained; default: %(default)s')
    parser.add_argument(
        '--json', type=Path,
        help='results; default: ablation.json in the work directory')
    args = parser.parse_args()
    args.json = args.json or args.work_dir / 'ablation.json'
    return args


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import torch
from ablation_parts.bench import (Bench, Row, class_groups, data_digest,
                                  filled_in, fingerprint, load_config,
                                  read_bench)
from ablation_parts.report import METRICS, SOME_METRICS, summarize, table
from provenance import command, commit, machine

from mmbombo.utils.atomic_write import atomic_write

LOGGED = dict(
    AP50='det/bbox_mAP_50', AP='det/bbox_mAP', mIoU='seg/mIoU',
    tags='cls/mAP')
#: What PseudoLabelQualityHook logs.
PSEUDO_LABELS = ('b4m/', 'm4b/', 'rectangles/')


def chosen_rows(bench: Bench, names: List[str]) -> List[Row]:
    """The rows to train, those that others need first."""
    names = list(bench.rows) if 'all' in names else list(names)
    unknown = sorted(set(names) - set(bench.rows))
    if unknown:
        sys.exit(f'unknown rows {unknown}; the bench has {list(bench.rows)}')
    for name in names:  # grows meanwhile
        names += bench.rows[name].needs
    # in the order of the bench, where a row stands below those it needs
    return [row for name, row in bench.rows.items() if name in names]


def depth(bench: Bench, row: Row) -> int:
    """How many rows have to be trained one after the other before a row."""
    return max((1 + depth(bench, bench.rows[x]) for x in row.needs), default=0)


class TrainingFailed(Exception):
    """A run ended with an error; the message names its log."""


class Run(NamedTuple):
    """A row and seed with all that is needed to train it."""
    row: Row
    seed: int
    key: str  # fingerprint of config and data
    work_dir: Path  # where it is trained
    cfg: Config
    before: List[str]  # script and arguments to run before, or nothing

    @property
    def identity(self) -> tuple:
        """As that of its result, see :func:`identity`."""
        return self.row.name, self.seed, self.key

    @property
    def checkpoint(self) -> Path:
        """What rows that need this one begin with."""
        return self.work_dir / f'iter_{self.cfg.train_cfg.max_iters}.pth'


def call(script: List[str], work_dir: Path, threads: int) -> None:
    """Run a script of ours with arguments in a process of its own."""
    command = [sys.executable, str(ROOT / script[0]), *script[1:]]
    path = os.pathsep.join(
        filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    log = work_dir / 'stdout.log'
    with log.open('a') as file:
        code = subprocess.call(
            command, stdout=file, stderr=subprocess.STDOUT,
            env=dict(os.environ, PYTHONPATH=path,
                     OMP_NUM_THREADS=str(threads)))
    if code:
        raise TrainingFailed(f'{script[0]} failed, see {log}')


def finish(run: Run, threads: int, logged: Dict[str, str]) -> dict:
    """Train a run and read its results."""
    print(f'training {run.row.name}, seed {run.seed}: {run.work_dir}',
          flush=True)
    run.work_dir.mkdir(parents=True, exist_ok=True)
    config = run.work_dir / 'config.py'
    run.cfg.dump(config)
    if run.before:
        call(run.before, run.work_dir, threads)
    call(['tools/train.py', str(config), '--work-dir', str(run.work_dir),
          '--resume', 'auto'], run.work_dir, threads)
    return dict(row=run.row.name, seed=run.seed, config_hash=run.key,
                commit=commit(), **read_log(
                    run.work_dir, class_groups(run.cfg), logged))


def read_log(work_dir: Path, groups: Dict[str, List[str]],
             logged: Dict[str, str]) -> dict:
    """Last metrics, mean IoU of groups of classes, those that the bench names,
    all as percentages, and last pseudo-label qualities."""
    metrics: Dict[str, float] = {}
    pseudo: Dict[str, float] = {}
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in map(json.loads, file.read_text().splitlines()):
            for name, key in LOGGED.items():
                if key in line:
                    scale = 1 if name == 'mIoU' else 100
                    metrics[name] = scale * line[key]
            metrics.update({  # boxes are judged by shares
                name: line[key] * (100 if key.startswith('det/') else 1)
                for name, key in logged.items() if key in line
            })
            for name, classes in groups.items():
                ious = [line.get(f'seg/{c}_IoU') for c in classes]
                if None not in ious:
                    metrics[name] = float(np.nanmean(ious))
            if 'loss' not in line:
                pseudo.update({
                    key: value
                    for key, value in line.items()
                    if key.startswith(PSEUDO_LABELS)
                })
    return dict(metrics, pseudo=pseudo)


def meta(bench: Bench, args: argparse.Namespace) -> dict:
    """On what, with what and how the runs are made."""
    return dict(
        command=command(), bench=args.bench.name, iters=bench.iters,
        environment=bench.environment, baseline=bench.baseline,
        data=data_digest(
            Config.fromfile(next(iter(bench.rows.values())).config)),
        threads=threads_of(args), jobs=args.jobs,
        **machine('cuda' if torch.cuda.is_available() else 'cpu'))


def threads_of(args: argparse.Namespace) -> int:
    """Threads of each run."""
    return max(1, torch.get_num_threads() // args.jobs)


def write_results(runs: List[dict], today: Set[tuple], bench: Bench,
                  args: argparse.Namespace) -> str:
    """Write all runs, and the summary of those of today; return a table."""
    summary = summarize([run for run in runs if identity(run) in today],
                        list(bench.rows), bench.baseline, [*bench.metrics])
    content = dict(meta=meta(bench, args), rows=summary, runs=runs)
    atomic_write(args.json, (json.dumps(content, indent=1) + '\n').encode())
    return table(summary)


def identity(result: dict) -> tuple:
    """Row, seed, and fingerprint of config and data of a finished run."""
    return result['row'], result['seed'], result['config_hash']


def identities_of_today(results: List[dict], runs: List[Run], bench: Bench,
                        work_dir: Path) -> Set[tuple]:
    """What :func:`identity` gives if config and data have not changed."""
    others = {(result['row'], result['seed']) for result in results}
    return {run.identity for run in runs} | {
        prepare(bench, bench.rows[row], seed, work_dir).identity
        for row, seed in others if row in bench.rows
    }


def prepare(bench: Bench, row: Row, seed: int, work_dir: Path) -> Run:
    """All that is needed to train a row with a seed."""
    checkpoints = {
        need: str(
            prepare(bench, bench.rows[need], seed, work_dir).checkpoint)
        for need in row.needs
    }
    cfg = load_config(bench, row, seed, checkpoints)
    key = fingerprint(cfg)
    return Run(row, seed, key, work_dir / f'{row.name}_{seed}_{key}', cfg,
               filled_in(row.before, checkpoints))


def read_results(file: Path) -> List[dict]:
    """The runs that are finished already."""
    return json.loads(file.read_text())['runs'] if file.is_file() else []


def unfinished(runs: List[Run], results: List[dict]) -> List[Run]:
    """Runs without a result, and those whose lost checkpoint they need."""
    finished = {identity(result) for result in results}
    todo = [run for run in runs if run.identity not in finished]
    for run in todo:  # grows meanwhile
        needed = [(need, run.seed) for need in run.row.needs]
        todo += [
            x for x in runs if x not in todo and not x.checkpoint.is_file()
            and (x.row.name, x.seed) in needed
        ]
    return [run for run in runs if run in todo]


def show(result: dict, more: List[str]) -> None:
    """Print the metrics of a run."""
    print(f'{result["row"]} {result["seed"]}: ' + ', '.join(
        f'{name} {result[name]:.1f}'
        for name in (*METRICS, *SOME_METRICS, *more) if name in result),
        flush=True)


def train_all(todo: List[Run], bench: Bench,
              args: argparse.Namespace) -> Iterator[dict]:
    """Train runs, ``args.jobs`` at a time; results as they come."""
    pool = ThreadPoolExecutor(args.jobs)
    try:
        futures = [
            pool.submit(finish, run, threads_of(args), bench.metrics)
            for run in todo
        ]
        for future in as_completed(futures):
            yield future.result()
    except TrainingFailed as error:
        sys.exit(str(error))
    finally:
        pool.shutdown(cancel_futures=True)


def main() -> None:
    args = parse_args()
    # mmengine names the environment variables of each config that it reads
    MMLogger.get_instance('ablation', log_level='WARNING')
    bench = read_bench(args.bench)
    if args.iters is not None:
        bench = bench._replace(iters=args.iters)
    results = read_results(args.json)
    runs = [
        prepare(bench, row, seed, args.work_dir) for seed in args.seeds
        for row in chosen_rows(bench, args.rows)
    ]
    today = identities_of_today(results, runs, bench, args.work_dir)
    for result in results:
        if identity(result) in {run.identity for run in runs}:
            show(result, [*bench.metrics])
    todo = unfinished(runs, results)
    # those that others need are trained before them
    for level in sorted({depth(bench, run.row) for run in todo}):
        batch = [run for run in todo if depth(bench, run.row) == level]
        for new in train_all(batch, bench, args):
            results = [
                result for result in results
                if identity(result) != identity(new)
            ] + [new]
            show(new, [*bench.metrics])
            write_results(results, today, bench, args)
    print(f'\n{write_results(results, today, bench, args)}\n\n'
          f'results: {args.json}')


if __name__ == '__main__':
    main()
