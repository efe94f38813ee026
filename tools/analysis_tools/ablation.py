# Copyright (c) mmbombo contributors.
"""Train the ablation and print what each weak loss is worth.

    python tools/analysis_tools/ablation.py --seeds 0 1 2

trains det only, seg only, naive, B4M, M4B, BoMBo and the oracle with the same
seed and the same number of iterations. Every finished run is kept in
``results.json``; the same command continues after an interruption. Runs whose
config has changed since are trained again.
"""
import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional

from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
ROWS = ('det', 'seg', 'naive', 'b4m', 'm4b', 'bombo', 'oracle')
METRICS = dict(
    AP50='det/bbox_mAP_50', AP='det/bbox_mAP', mIoU='seg/mIoU')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--rows', nargs='+', default=ROWS, choices=ROWS, metavar='ROW',
        help=f'rows to train, of {", ".join(ROWS)}')
    parser.add_argument(
        '--suffix',
        default='mobilenetv2_fpn-gfl_photo-stamps',
        help='the configs are configs/bombo/ROW_SUFFIX.py')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument(
        '--iters', type=int, help='iterations; default: as in the config')
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/ablation'))
    parser.add_argument(
        '--cfg-options', nargs='+', default=[],
        help='passed to tools/train.py for every run')
    return parser.parse_args()


def fingerprint(config: Path, args: argparse.Namespace) -> str:
    """Hash of everything that a run depends on, apart from its seed."""
    cfg = Config.fromfile(config)
    text = cfg.pretty_text + f'{args.iters} {args.cfg_options}'
    manifest = Path(cfg.get('data_root', '')) / 'manifest.json'
    if manifest.is_file():
        text += manifest.read_text()
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def train(config: Path, seed: int, work_dir: Path,
          args: argparse.Namespace) -> None:
    """Run ``tools/train.py`` in a process of its own, resuming if it can."""
    work_dir.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        str(ROOT / 'tools' / 'train.py'),
        str(config), '--work-dir',
        str(work_dir), '--resume', 'auto'
    ]
    if args.iters is not None:
        command += ['--iters', str(args.iters)]
    command += ['--cfg-options', f'randomness.seed={seed}', *args.cfg_options]
    path = os.pathsep.join(
        filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    log = work_dir / 'stdout.log'
    with log.open('a') as file:
        code = subprocess.call(
            command, stdout=file, stderr=subprocess.STDOUT,
            env=dict(os.environ, PYTHONPATH=path))
    if code:
        sys.exit(f'{config.name} with seed {seed} failed, see {log}')


def last_metrics(work_dir: Path) -> Dict[str, float]:
    """Metrics of the last validation in a work directory."""
    metrics: Dict[str, float] = {}
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            values = json.loads(line)
            found = {
                name: values[key]
                for name, key in METRICS.items() if key in values
            }
            metrics = found or metrics
    # AP as a percentage, as mIoU is
    return {
        name: value if name == 'mIoU' else 100 * value
        for name, value in metrics.items()
    }


def run_all(args: argparse.Namespace) -> Dict[str, dict]:
    """Train what is missing; return all runs by 'row seed fingerprint'."""
    args.work_dir.mkdir(parents=True, exist_ok=True)
    results_file = args.work_dir / 'results.json'
    results = {}
    if results_file.is_file():
        results = json.loads(results_file.read_text())
    runs = {}
    todo = [(row, seed) for seed in args.seeds for row in args.rows]
    for number, (row, seed) in enumerate(todo, start=1):
        config = ROOT / 'configs' / 'bombo' / f'{row}_{args.suffix}.py'
        key = f'{row} {seed} {fingerprint(config, args)}'
        if key not in results:
            print(f'[{number}/{len(todo)}] training {row}, seed {seed}',
                  flush=True)
            work_dir = args.work_dir / key.replace(' ', '_')
            train(config, seed, work_dir, args)
            results[key] = dict(row=row, seed=seed, **last_metrics(work_dir))
            partial = results_file.with_suffix('.partial')
            partial.write_text(json.dumps(results, indent=1))
            partial.replace(results_file)
        runs[key] = results[key]
        print('  ' + ', '.join(f'{name} {runs[key][name]:.1f}'
                               for name in METRICS if name in runs[key]),
              flush=True)
    return runs


def values_of(runs: Dict[str, dict], row: str, metric: str) -> List[float]:
    """One value per seed."""
    return [
        run[metric] for run in runs.values()
        if run['row'] == row and metric in run
    ]


def gap_closed(runs: Dict[str, dict], row: str,
               metric: str) -> Optional[float]:
    """(row - naive) / (oracle - naive) of the means, None if undefined."""
    means = [
        values_of(runs, name, metric) for name in (row, 'naive', 'oracle')
    ]
    if not all(means):
        return None
    here, naive, oracle = map(statistics.mean, means)
    return None if oracle <= naive else (here - naive) / (oracle - naive)


def table(runs: Dict[str, dict]) -> str:
    """The results as Markdown: mean and standard deviation over seeds."""
    lines = [
        '| | ' + ' | '.join(METRICS) + ' | gap closed AP | mIoU |',
        '| --- |' + ' ---: |' * (len(METRICS) + 2)
    ]
    for row in ROWS:
        cells = []
        for metric in METRICS:
            values = values_of(runs, row, metric)
            cell = f'{statistics.mean(values):.1f}' if values else ''
            if len(values) > 1:
                cell += f' ± {statistics.stdev(values):.1f}'
            cells.append(cell)
        for metric in ('AP', 'mIoU'):
            share = None
            if row in ('b4m', 'm4b', 'bombo'):
                share = gap_closed(runs, row, metric)
            cells.append('' if share is None else f'{100 * share:.0f} %')
        if any(cells):
            lines.append(f'| {row} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def main() -> None:
    args = parse_args()
    text = table(run_all(args))
    (args.work_dir / 'results.md').write_text(text + '\n')
    print(f'\n{text}\n\nresults: {args.work_dir / "results.json"}')


if __name__ == '__main__':
    main()
