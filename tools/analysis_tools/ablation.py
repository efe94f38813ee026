# Copyright (c) mmbombo contributors.
"""Train the ablation and print what each weak loss is worth.

    python tools/analysis_tools/ablation.py --seeds 0 1 2

trains the rows of ``configs/ablation.yml`` with each seed, all with the same
data, resolution and number of iterations. Every finished run is kept in the
results' JSON file; the same command continues after an interruption. Runs
whose config or data have changed since are trained again.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import torch
from ablation_parts.bench import (Bench, Row, fingerprint, load_config,
                                  read_bench)
from ablation_parts.report import plot, summarise, table
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
LOGGED = dict(
    AP50='det/bbox_mAP_50', AP='det/bbox_mAP', mIoU='seg/mIoU')
#: What PseudoLabelQualityHook logs.
PSEUDO_LABELS = ('b4m/', 'm4b/', 'rectangles/')
MAIN_ROWS = ('naive', 'oracle', 'bombo', 'det', 'seg', 'b4m', 'm4b')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--bench', type=Path, default=ROOT / 'configs' / 'ablation.yml',
        help='YAML file that lists the rows')
    parser.add_argument(
        '--rows', nargs='+', default=MAIN_ROWS, metavar='ROW',
        help=f'default: {" ".join(MAIN_ROWS)}; "all" for every row')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument(
        '--iters', type=int, help="instead of the bench's own number")
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/ablation'))
    parser.add_argument(
        '--json', type=Path,
        help='results; default: ablation.json in the work directory. The '
        'table and the plot are written beside it')
    args = parser.parse_args()
    args.json = args.json or args.work_dir / 'ablation.json'
    return args


def chosen_rows(bench: Bench, names: List[str]) -> List[Row]:
    """The rows to train, those that others need first."""
    names = list(bench.rows) if 'all' in names else list(names)
    unknown = sorted(set(names) - set(bench.rows))
    if unknown:
        sys.exit(f'unknown rows {unknown}; the bench has {list(bench.rows)}')
    needed = [need for name in names for need in bench.rows[name].needs]
    # dict.fromkeys drops repetitions and keeps the order
    return [bench.rows[name] for name in dict.fromkeys(needed + names)]


def train(config: Path, work_dir: Path) -> None:
    """Run ``tools/train.py`` in a process of its own, resuming if it can."""
    command = [
        sys.executable, str(ROOT / 'tools' / 'train.py'), str(config),
        '--work-dir', str(work_dir), '--resume', 'auto'
    ]
    path = os.pathsep.join(
        filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    log = work_dir / 'stdout.log'
    with log.open('a') as file:
        code = subprocess.call(
            command, stdout=file, stderr=subprocess.STDOUT,
            env=dict(os.environ, PYTHONPATH=path))
    if code:
        sys.exit(f'{config} failed, see {log}')


def read_log(work_dir: Path) -> Dict[str, float]:
    """Last metrics, last pseudo-label qualities and the usual step time.

    AP is given as a percentage, as mIoU is; ``step_time`` in seconds.
    """
    metrics: Dict[str, float] = {}
    pseudo: Dict[str, float] = {}
    times = []
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in map(json.loads, file.read_text().splitlines()):
            for name, key in LOGGED.items():
                if key in line:
                    scale = 1 if name == 'mIoU' else 100
                    metrics[name] = scale * line[key]
            if 'loss' in line:
                times.append(line['time'])
            else:
                pseudo.update({
                    key: value
                    for key, value in line.items()
                    if key.startswith(PSEUDO_LABELS)
                })
    if times:
        metrics['step_time'] = statistics.median(times)
    return dict(metrics, pseudo=pseudo)


def commit() -> str:
    """Commit of the code, marked if there are changes on top of it."""
    result = subprocess.run(
        ['git', 'describe', '--always', '--dirty', '--exclude=*'], cwd=ROOT,
        capture_output=True, text=True)
    return result.stdout.strip() or 'unknown'


def meta(bench: Bench, args: argparse.Namespace) -> dict:
    """On what, with what and how the runs are made."""
    processor = platform.processor() or platform.machine()
    if torch.cuda.is_available():
        processor = torch.cuda.get_device_name()
    return dict(
        bench=args.bench.name, iters=bench.iters,
        environment=bench.environment, processor=processor,
        threads=torch.get_num_threads(), python=platform.python_version(),
        torch=torch.__version__)


def write_results(runs: List[dict], bench: Bench,
                  args: argparse.Namespace) -> str:
    """Write JSON, Markdown and plot; return the table."""
    summary = summarise(runs, list(bench.rows))
    content = dict(meta=meta(bench, args), rows=summary, runs=runs)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    partial = args.json.with_suffix('.partial')
    partial.write_text(json.dumps(content, indent=1) + '\n')
    partial.replace(args.json)
    text = table(summary)
    args.json.with_suffix('.md').write_text(text + '\n')
    return text


def prepare(bench: Bench, row: Row, seed: int,
            work_dir: Path) -> 'tuple[str, Path, Config]':
    """Fingerprint, work directory and config of a run."""
    checkpoints = {
        need: str(run_dir(bench, bench.rows[need], seed, work_dir) /
                  f'iter_{bench.iters}.pth')
        for need in row.needs
    }
    cfg = load_config(bench, row, seed, checkpoints)
    key = fingerprint(cfg)
    return key, work_dir / f'{row.name}_{seed}_{key}', cfg


def run_dir(bench: Bench, row: Row, seed: int, work_dir: Path) -> Path:
    """Where a run leaves its checkpoints."""
    return prepare(bench, row, seed, work_dir)[1]


def main() -> None:
    args = parse_args()
    bench = read_bench(args.bench)
    if args.iters is not None:
        bench = bench._replace(iters=args.iters)
    runs = []
    if args.json.is_file():
        runs = json.loads(args.json.read_text())['runs']
    todo = [(row, seed) for seed in args.seeds
            for row in chosen_rows(bench, args.rows)]
    for number, (row, seed) in enumerate(todo, start=1):
        key, work_dir, cfg = prepare(bench, row, seed, args.work_dir)
        known = [
            run for run in runs if (run['row'], run['seed'],
                                    run['config_hash']) == (row.name, seed,
                                                            key)
        ]
        if not known:
            print(f'[{number}/{len(todo)}] training {row.name}, seed {seed}: '
                  f'{work_dir}', flush=True)
            work_dir.mkdir(parents=True, exist_ok=True)
            cfg.dump(work_dir / 'config.py')
            train(work_dir / 'config.py', work_dir)
            # the newest run of a row and seed stands, older configs go
            runs = [
                run for run in runs
                if (run['row'], run['seed']) != (row.name, seed)
            ]
            known = [
                dict(row=row.name, seed=seed, config_hash=key,
                     commit=commit(), **read_log(work_dir))
            ]
            runs += known
            write_results(runs, bench, args)
        print(f'{row.name} {seed}: ' + ', '.join(
            f'{name} {known[0][name]:.1f}'
            for name in LOGGED if name in known[0]), flush=True)
    print(f'\n{write_results(runs, bench, args)}\n\nresults: {args.json}')
    plot(summarise(runs, list(bench.rows)), args.json.with_suffix('.png'))


if __name__ == '__main__':
    main()
