# Copyright (c) mmbombo contributors.
"""Train the two modules of a locally supervised network in two processes.

    python tools/train_async.py CONFIG --work-dir DIR

The config cuts its backbone after one block. No gradient passes the cut, so
the part below need not wait: it hands the maps of a batch over and takes the
next, while the other part learns from them, a batch behind. Both draw the same
images, augmented alike. The weights are those of a training in one process,
and are written to DIR/async.pth; DIR/lower and DIR/upper have the logs and the
checkpoints of both parts.

What clips the norm of all gradients (``clip_grad``) then clips that of each
part. There is no validation meanwhile, no resuming, and no moving
average in DIR/async.pth.
"""
import argparse
import time
from pathlib import Path

from mmengine.config import Config, DictAction

PARTS = ('lower', 'upper')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument(
        '--work-dir', type=Path, required=True, help='folder for the results')
    parser.add_argument(
        '--iters',
        type=int,
        help='train for so many iterations; the schedule is scaled')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, key=value')
    return parser.parse_args()


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import Tensor, multiprocessing, nn

from mmbombo.engine.runner import QuietRunner
from mmbombo.models.backbones.cuts import block_names
from mmbombo.models.utils.local_step import local_step, set_local_step
from mmbombo.utils import (UserError, load_checkpoint_safely, scale_schedule,
                           user_errors)
from mmbombo.utils.config_names import load_config


class HandedOver(Exception):
    """The forward pass of the lower part has reached the cut."""


class Received(nn.Module):
    """Stands for all that is below the cut."""

    def __init__(self, queue) -> None:
        super().__init__()
        self.queue = queue

    def forward(self, x: Tensor) -> Tensor:
        """The maps ``(N, C, h, w)`` of the batch, whatever comes in."""
        feat = self.queue.get().to(x.device, copy=True)
        self.queue.task_done()
        return feat


class PartHook(Hook):
    """Makes a part of the whole network, once that has its weights."""

    priority = 'VERY_LOW'

    def __init__(self, part: str, queue) -> None:
        self.part = part
        self.queue = queue

    def before_train(self, runner) -> None:
        """Cut the network of the runner."""
        model = runner.model
        cut = only_cut(runner.cfg)
        if model.backbone.local_modules.detached:
            raise UserError('an output of the backbone is from below the cut; '
                            'train in one process')
        if self.part == 'upper':
            names = block_names(model.backbone)
            for name in names[:names.index(cut)]:
                replace(model.backbone, name, nn.Identity())
            replace(model.backbone, cut, Received(self.queue))
        else:
            hand_over(model, cut, self.queue)
        self.start = time.process_time()

    def after_train(self, runner) -> None:
        """Wait for the other part, and say what it took."""
        seconds = time.process_time() - self.start
        self.queue.join()
        print_log(
            f'{self.part} part: {seconds:.1f} s of processor time',
            logger='current')


def only_cut(cfg: Config) -> str:
    """The name of the block after which the backbone is cut."""
    cuts = cfg.model.backbone.get('cuts', [])
    if isinstance(cuts, int) or len(cuts) != 1:
        raise UserError(f'model.backbone.cuts={cuts}: two processes train two '
                        "modules; name one block, such as ['layer2.1']")
    return cuts[0]


def replace(backbone: nn.Module, name: str, block: nn.Module) -> None:
    """Put another block in the place of one."""
    *path, last = name.split('.')
    setattr(backbone.get_submodule('.'.join(path)), last, block)


def hand_over(model: nn.Module, cut: str, queue) -> None:
    """Let the training steps of a model end at the cut."""

    def send(block: nn.Module, args: tuple, feat: Tensor) -> None:
        queue.put(feat.cpu())
        raise HandedOver

    # after the local module, whose hook stands before it
    model.backbone.get_submodule(cut).register_forward_hook(send)
    whole_step = model.train_step

    def train_step(data: dict, optim_wrapper: OptimWrapper) -> dict:
        try:
            whole_step(data, optim_wrapper)
        except HandedOver:
            log = local_step().log
            set_local_step(None)
            # the gradients are there; counts, clips and steps
            nothing = next(iter(log.values())).new_zeros(())
            optim_wrapper.update_params(nothing.requires_grad_())
        return dict(log, loss=sum(log.values()))

    model.train_step = train_step


def train_part(rank: int, cfg: Config, queue) -> None:
    """Train a part; of the lower one, until the other has all its maps."""
    part = PARTS[rank]
    cfg.work_dir = str(Path(cfg.work_dir) / part)
    runner = QuietRunner.from_cfg(cfg)
    runner.register_hook(PartHook(part, queue))
    runner.train()


def joined(work_dir: Path, max_iters: int) -> dict:
    """The weights of the whole network, from both parts."""
    lower, upper = (
        load_checkpoint_safely(str(work_dir / part / f'iter_{max_iters}.pth'))
        for part in PARTS)
    weights = {
        **lower['state_dict'],
        **{
            name: value
            for name, value in upper['state_dict'].items()
            if '.local_modules.' not in name
        }
    }
    return dict(meta=lower['meta'], state_dict=weights)


@user_errors()
def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    if args.iters is not None:
        scale_schedule(cfg, args.iters)
    if 'max_iters' not in cfg.train_cfg:
        raise UserError('train_cfg has no max_iters: two processes count '
                        'iterations, not epochs')
    only_cut(cfg)
    cfg.setdefault('default_scope', 'mmbombo')
    cfg.work_dir = str(args.work_dir)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=cfg.train_cfg.max_iters)
    queue = multiprocessing.get_context('spawn').JoinableQueue(maxsize=1)
    multiprocessing.start_processes(
        train_part, (cfg, queue), nprocs=2, start_method='spawn')
    torch.save(
        joined(args.work_dir, cfg.train_cfg.max_iters),
        args.work_dir / 'async.pth')


if __name__ == '__main__':
    main()
