# Copyright (c) mmbombo contributors.
"""Everything that wants a GPU, in 12 minutes and without a network.

    python tools/misc/gpu_check.py --out gpu_check.json

Each part has a time limit of its own; what fails is recorded, and the next
part runs. The file is written anew after each part. ``gpu_check.sh`` makes an
environment from wheels first.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / 'tools'
CONFIG = ROOT / 'configs/bombo/bombo_mobilenetv2_fpn-gfl_shapes.py'
#: Smoke trainings: options of tools/train.py, and of :class:`FastStepHook`.
TRAININGS = dict(
    fp32=([], ''),
    amp=(['--amp'], ''),
    channels_last=([], 'channels_last=True'),
    compile=([], 'compiled=True'))
#: Benchmarks on a device; the last size has the pixels of 800 x 1333.
ROWS = ('joint_step', 'inference', 'validation', 'bombo_naive_own',
        'bombo_naive_all', 'training_memory', 'split_merge')
SIZES = {320: 8, 512: 4, 1024: 2}


class Part(NamedTuple):
    """A command with its limit in seconds, and where its figures lie."""
    name: str
    command: List[str]
    seconds: int
    figures: Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', choices=['cuda', 'cpu'], default='cuda')
    parser.add_argument('--out', type=Path, default=Path('gpu_check.json'))
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/gpu_check'))
    parser.add_argument(
        '--minutes', type=float, default=12, help='of all parts together')
    parser.add_argument(
        '--miniature', action='store_true', help='every part, but tiny')
    parser.add_argument('--only', nargs='+', help='parts, by name')
    return parser.parse_args()


def parts(args: argparse.Namespace, processes: int) -> Iterator[Part]:
    """What is checked, the most telling first."""
    work, python = args.work_dir, sys.executable
    probe = str(TOOLS / 'misc' / 'gpu_check_parts.py')
    number = '20' if args.miniature else '200'
    yield Part('data', [
        python, f'{TOOLS}/dataset_converters/photo_stamps.py', '--data',
        'shapes', '--out', f'{work}/shapes', '--num-train', number,
        '--num-val', '8'
    ], 60, work / 'data.json')
    iters = ['--iters', '2' if args.miniature else '60']
    for name, (options, hook) in TRAININGS.items():
        if name == 'amp' and args.device == 'cpu':
            continue  # MMEngine has it on GPUs only
        config = write_config(work / f'{name}.py', hook, args.miniature)
        yield Part(f'train_{name}', [
            python, f'{TOOLS}/train.py', config, '--work-dir',
            f'{work}/{name}', *iters, *options
        ], 150 if name == 'compile' else 75, work / name)
    if processes > 1:
        yield Part('train_two_processes', [
            'bash', f'{TOOLS}/dist_train.sh', f'{work}/fp32.py', '2',
            '--work-dir', f'{work}/two_processes', *iters
        ], 90, work / 'two_processes')
    for name in ('copies', 'loader'):
        yield Part(name, [
            python, probe, name, '--config', f'{work}/fp32.py', '--device',
            args.device, '--out', f'{work}/{name}.json', '--size',
            '64' if args.miniature else '320'
        ], 60, work / f'{name}.json')
    for size, batch in ({64: 1} if args.miniature else SIZES).items():
        model = 'mobilenetv2_fpn-gfl' if args.miniature else 'r50_fpn-gfl'
        yield Part(f'rows_{size}', [
            python, f'{TOOLS}/analysis_tools/benchmark.py', *ROWS, '--model',
            model, '--device', args.device, '--size', f'{size}', '--batch',
            f'{batch}', '--images', '2' if args.miniature else '16',
            '--repeats', '1' if args.miniature else '10', '--json',
            f'{work}/rows_{size}.json'
        ], 150, work / f'rows_{size}.json')


def write_config(path: Path, hook: str, miniature: bool) -> str:
    """The config of a smoke training, without pretrained weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"_base_ = '{CONFIG}'", 'model = dict(backbone=dict(init_cfg=None))',
        "default_hooks = dict(logger=dict(interval=1))"
    ]
    if miniature:
        lines += [
            'train_dataloader = dict(batch_size=2, num_workers=1, '
            'sampler=dict(batch_size=2))'
        ]
    if hook:
        lines += [
            "custom_imports = dict(imports=['gpu_check_parts'])",
            f"custom_hooks = [dict(type='FastStepHook', {hook})]"
        ]
    path.write_text('\n'.join(lines) + '\n')
    return str(path)


def run(part: Part, limit: float, env: Dict[str, str], log: Path) -> dict:
    """Run a part; how it ended, how long it took, what it found."""
    start, code = time.monotonic(), None
    with log.open('w') as out:
        process = subprocess.Popen(
            part.command,
            cwd=ROOT,
            env=env,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            # with its workers
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    names = {None: f'stopped after {limit:.0f} s', 0: 'ok'}
    record = dict(
        name=part.name,
        status=names.get(code, f'failed with {code}'),
        seconds=round(time.monotonic() - start, 1),
        command=' '.join(part.command),
        figures=figures_in(part.figures))
    if code != 0:
        record['log'] = log.read_text().splitlines()[-15:]
    return record


def figures_in(path: Path) -> object:
    """Content of a JSON file, or of a work directory what its steps took."""
    if path.is_file():
        return json.loads(path.read_text())
    logs = sorted(path.glob('*/vis_data/scalars.json'))
    if not logs:
        return None
    steps = [json.loads(line) for line in logs[-1].read_text().splitlines()]
    steps = [step for step in steps if 'time' in step and 'loss' in step]
    # the first steps load, tune and compile
    steady = steps[len(steps) // 2:]
    middle = {
        key: sorted(step[key] for step in steady)[len(steady) // 2]
        for key in ('time', 'data_time', 'memory') if key in steady[0]
    }
    return dict(
        middle, steps=len(steps), loss=[steps[0]['loss'], steps[-1]['loss']])


def main() -> None:
    args = parse_args()
    args.work_dir = args.work_dir.resolve()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(TOOLS / 'analysis_tools'))
    import torch
    from provenance import commit, machine
    processes = torch.cuda.device_count() if args.device == 'cuda' else 2
    env = dict(
        os.environ,
        PYTHON=sys.executable,
        SHAPES_ROOT=f'{args.work_dir}/shapes',
        PYTHONPATH=os.pathsep.join(
            [str(TOOLS / 'misc'),
             str(ROOT),
             os.environ.get('PYTHONPATH', '')]))
    if args.device == 'cpu':
        env['CUDA_VISIBLE_DEVICES'] = ''
    if args.miniature:
        env['PHOTO_STAMPS_SHORT_SIDE'] = '64'
    report = dict(
        commit=commit(),
        date=time.strftime('%Y-%m-%d'),
        cuda=torch.version.cuda,
        gpus=torch.cuda.device_count(),
        **machine(args.device),
        parts=[])
    end = time.monotonic() + 60 * args.minutes
    for part in parts(args, processes):
        if args.only and part.name not in args.only:
            continue
        # a CPU is not what the limits are for
        factor = 1 if args.device == 'cuda' else 4
        limit = min(factor * part.seconds, end - time.monotonic())
        if limit > 5:
            log = args.work_dir / f'{part.name}.log'
            record = run(part, limit, env, log)
        else:
            record = dict(name=part.name, status='no time left', seconds=0)
        print(
            f'{record["name"]}: {record["status"]}, {record["seconds"]} s',
            flush=True)
        report['parts'].append(record)
        args.out.write_text(json.dumps(report, indent=1) + '\n')
    if any(record['status'] != 'ok' for record in report['parts']):
        sys.exit(1)


if __name__ == '__main__':
    main()
