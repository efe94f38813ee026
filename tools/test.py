# Copyright (c) mmbombo contributors.
"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``."""
import argparse
import os
import os.path as osp
from typing import Dict, List, Optional

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
        '--dump',
        help='.zip file of predictions and truth, for '
        'tools/analysis_tools/analyze_predictions.py')
    parser.add_argument(
        '--tta',
        nargs='*',
        type=float,
        metavar='SCALE',
        help='predict each image flipped, too, and at these scales (such as '
        '0.75 1 1.25), and merge; without scales as tta_pipeline of the '
        'config says, or at its size')
    parser.add_argument(
        '--show', action='store_true', help='show predictions in a window')
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds for a picture of --show; 0 waits for the space key '
        '(default: %(default)s)')
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
    if args.dump and not args.dump.endswith('.zip'):
        parser.error('--dump must be a .zip file: it holds no pickle')
    if any(scale <= 0 for scale in args.tta or ()):
        parser.error('--tta: scales are positive')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import matplotlib
import mmengine
from mmengine.dist import is_main_process

from mmbombo.engine.runner import QuietRunner
from mmbombo.evaluation.metrics import DumpPredictions
from mmbombo.utils import (UserError, leave_process_group,
                           prepare_cpu_processes, use_checked_loader,
                           user_errors)
from mmbombo.utils.atomic_write import require_writable
from mmbombo.utils.config_names import load_config, merge_options
from mmbombo.utils.config_parts import all_datasets, view_pipeline


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
    if args.show or args.show_dir:
        draw_predictions(cfg, args)
    if args.tta is not None:
        augment_tests(cfg, args.tta)
    return cfg


def draw_predictions(cfg: Config, args: argparse.Namespace) -> None:
    """Make the config's visualization hook draw, or add ours."""
    if args.show and matplotlib.get_backend().lower() == 'agg':
        raise UserError('--show: there is no display for a window (or no '
                        'tkinter or Qt); --show-dir FOLDER writes files')
    cfg.setdefault('visualizer', dict(type='MultiTaskLocalVisualizer'))
    hooks = cfg.get('default_hooks') or {}
    hook = hooks.get('visualization') or dict(
        type='MultiTaskVisualizationHook')
    hook = dict(hook, draw=True, test_out_dir=args.show_dir)
    if args.show:
        hook.update(show=True, wait_time=args.wait_time)
    cfg.default_hooks = dict(hooks, visualization=hook)


def augment_tests(cfg: Config, scales: List[float]) -> None:
    """Predict several views of each image: those of the config, unless there
    are ``scales``, or else ours, and merge them."""
    model = cfg.get('tta_model')
    if model is None and cfg.model.type != 'MultiTaskDetector':
        raise UserError('--tta: the config has no tta_model, and '
                        f'{cfg.model.type} no default')
    pipeline = None if scales else cfg.get('tta_pipeline')
    for dataset in all_datasets(cfg.test_dataloader.dataset):
        dataset.pipeline = pipeline or view_pipeline(dataset.pipeline, scales)
    # views take the place of the images of a batch
    cfg.test_dataloader.batch_size = 1
    cfg.model = dict(model or dict(type='MultiTaskTTAModel'), module=cfg.model)


def test(cfg: Config, dump: Optional[str] = None) -> Dict[str, float]:
    """Test, and let the runner go."""
    runner = QuietRunner.from_cfg(cfg)
    if dump and runner.test_loop:
        metric = DumpPredictions(dump)
        metric.dataset_meta = runner.test_evaluator.dataset_meta
        runner.test_evaluator.metrics.append(metric)
    return runner.test()


@user_errors()
def main() -> None:
    args = parse_args()
    use_checked_loader(trust=args.trust_checkpoint)
    cfg = merge_args(load_config(args.config), args)
    prepare_cpu_processes(cfg)
    for option, path in (('--out', args.out), ('--dump', args.dump)):
        if path:
            require_writable(path, option)
    metrics = test(cfg, args.dump)
    if args.out and is_main_process():
        mmengine.dump(metrics, args.out)
    leave_process_group()


if __name__ == '__main__':
    main()
