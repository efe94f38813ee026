# Copyright (c) mmbombo contributors.
"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``."""
import argparse
import os
import os.path as osp
from typing import Dict

# before torch is imported; see tools/train.py
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Evaluate a model')
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--work-dir',
        help='where logs go (default: work_dir of the config, or '
        'work_dirs/NAME OF THE CONFIG)')
    parser.add_argument('--out', help='JSON file for the metrics')
    parser.add_argument(
        '--show-dir',
        help='draw predictions into WORK_DIR/TIMESTAMP/SHOW_DIR/SOURCE')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load checkpoints that run code when they are loaded; only for '
        'files that you made yourself')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, key=value')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    if args.out and not args.out.endswith('.json'):
        parser.error('--out must be a .json file')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import mmengine
from mmengine.dist import is_main_process

from mmbombo.engine.runner import QuietRunner
from mmbombo.utils import (leave_process_group, prepare_cpu_processes,
                           use_checked_loader, user_errors)
from mmbombo.utils.atomic_write import require_writable
from mmbombo.utils.config_names import load_config, merge_options


def merge_args(cfg: Config, args: argparse.Namespace) -> Config:
    """Write the command-line options into the config."""
    cfg.setdefault('default_scope', 'mmbombo')
    cfg.launcher = args.launcher
    merge_options(cfg, args.cfg_options)
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or osp.join(
        'work_dirs', name)
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.show_dir:
        draw_predictions(cfg, args.show_dir)
    return cfg


def draw_predictions(cfg: Config, show_dir: str) -> None:
    """Make the config's visualization hook draw, or add ours."""
    cfg.setdefault('visualizer', dict(type='MultiTaskLocalVisualizer'))
    hooks = cfg.get('default_hooks') or {}
    hook = hooks.get('visualization') or dict(
        type='MultiTaskVisualizationHook')
    cfg.default_hooks = dict(
        hooks, visualization=dict(hook, draw=True, test_out_dir=show_dir))


def test(cfg: Config) -> Dict[str, float]:
    """Test, and let the runner go."""
    return QuietRunner.from_cfg(cfg).test()


@user_errors()
def main() -> None:
    args = parse_args()
    use_checked_loader(trust=args.trust_checkpoint)
    cfg = merge_args(load_config(args.config), args)
    prepare_cpu_processes(cfg)
    if args.out:
        require_writable(args.out)
    metrics = test(cfg)
    if args.out and is_main_process():
        mmengine.dump(metrics, args.out)
    leave_process_group()


if __name__ == '__main__':
    main()
