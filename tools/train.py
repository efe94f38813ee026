# Copyright (c) mmbombo contributors.
"""Train a model: ``python tools/train.py CONFIG [options]``."""
import argparse
import gc
import os
import os.path as osp
import sys
from typing import Optional, Union

# OpenMP's threads spin where they wait, which takes the processor from
# whatever else runs. It is read once, when torch is imported; the loaders'
# workers and torchrun's processes inherit it or come by here. With a GPU, no
# thread waits long enough to matter.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Train detection and segmentation from partial '
        'annotations')
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument(
        '--work-dir',
        help='where logs and checkpoints go (default: work_dir of the config, '
        'or work_dirs/NAME OF THE CONFIG)')
    parser.add_argument(
        '--amp',
        action='store_true',
        help='train with automatic mixed precision')
    parser.add_argument(
        '--iters',
        type=int,
        help='train for so many iterations; the schedule is scaled, but for '
        'what --cfg-options say')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate to the images of a step of all '
        'processes, from base_batch_size in the config')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='checkpoint to resume from; without a value, the one that '
        'last_checkpoint in the work directory names, or the latest whole one')
    parser.add_argument(
        '--share-work-dir',
        action='store_true',
        help='train although another training writes to the work directory')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load checkpoints that run code when they are loaded; only for '
        'files that you made yourself')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, key=value; lists as '
        'key="[a,b]" or key=a,b')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


if __name__ == '__main__':  # --help waits for no library
    parse_args()

from mmengine.device import get_device

from mmbombo.engine.runner import QuietRunner
from mmbombo.engine.runner.resumable_runner import saved_checkpoints
from mmbombo.utils import (UserError, keep_freed_memory, leave_process_group,
                           prepare_cpu_processes, scale_schedule,
                           use_checked_loader, user_errors)
from mmbombo.utils.config_names import load_config, merge_options
from mmbombo.utils.distributed import name_silent_ranks
from mmbombo.utils.folder_lock import lock_folder


def merge_args(cfg: Config, args: argparse.Namespace) -> Config:
    """Write the command-line options into the config."""
    cfg.setdefault('default_scope', 'mmbombo')
    cfg.launcher = args.launcher
    if args.iters is not None:
        try:
            scale_schedule(cfg, args.iters)
        except UserError as error:
            sys.exit(f'--iters: {error}')
    # after --iters, which scales intervals: one that is given is meant
    merge_options(cfg, args.cfg_options)
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or osp.join(
        'work_dirs', name)

    if args.amp:
        if get_device() == 'cpu':
            sys.exit('--amp: MMEngine trains with mixed precision on GPUs '
                     'only, and there is none')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.loss_scale = 'dynamic'
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            sys.exit(f'--auto-scale-lr: {args.config} has no '
                     'auto_scale_lr.base_batch_size')
        cfg.auto_scale_lr.enable = True
    if args.resume == 'auto':
        # a job that restarts itself begins from load_from the first time
        found = osp.isfile(osp.join(cfg.work_dir, 'last_checkpoint')) or \
            saved_checkpoints(cfg.work_dir)
        cfg.resume = bool(found or not cfg.get('load_from'))
        cfg.load_from = None if cfg.resume else cfg.load_from
    elif args.resume is not None:
        cfg.resume = True
        cfg.load_from = args.resume
    return cfg


def train(cfg: Config) -> Optional[Union[int, str]]:
    """Train, and let the runner go; the exit status if it was stopped."""
    try:
        QuietRunner.from_cfg(cfg).train()
    except SystemExit as stop:
        return stop.code
    except RuntimeError as error:
        name_silent_ranks(error)
        raise
    return None


@user_errors()
def main() -> None:
    args = parse_args()
    use_checked_loader(trust=args.trust_checkpoint)
    cfg = merge_args(load_config(args.config), args)
    if get_device() == 'cpu':
        keep_freed_memory()
    if not args.share_work_dir and os.environ.get('RANK', '0') == '0':
        lock = lock_folder(cfg.work_dir)  # noqa: F841  # held until the end
    prepare_cpu_processes(cfg)
    status = train(cfg)
    gc.collect()  # the workers of a runner that is let go end at once
    leave_process_group()
    sys.exit(status)


if __name__ == '__main__':
    main()
