# Copyright (c) mmbombo contributors.
from mmengine.config import Config

from .user_errors import UserError


def scale_schedule(cfg: Config, max_iters: int) -> None:
    """Shorten or lengthen an iteration-based schedule, keeping its shape.

    The milestones of the learning rate are stretched with the number of
    iterations, and the intervals of validation and checkpoints too. The
    config is changed in place.
    """
    if 'max_iters' not in cfg.get('train_cfg', {}):
        raise UserError('the schedule counts epochs, not iterations: '
                        'train_cfg has no max_iters')
    if max_iters < 1:
        raise UserError(f'{max_iters} iterations are no training')
    old = cfg.train_cfg.max_iters

    def scaled(count: int) -> int:
        return max(1, round(count * max_iters / old))

    cfg.train_cfg.max_iters = max_iters
    if 'val_interval' in cfg.train_cfg:
        cfg.train_cfg.val_interval = scaled(cfg.train_cfg.val_interval)
    checkpoint = cfg.get('default_hooks', {}).get('checkpoint', {})
    if not checkpoint.get('by_epoch', True) and 'interval' in checkpoint:
        checkpoint.interval = scaled(checkpoint.interval)
    for scheduler in cfg.get('param_scheduler') or []:
        for key in ('begin', 'end', 'T_max'):
            if scheduler.get(key):
                scheduler[key] = scaled(scheduler[key])
        if scheduler.get('end'):
            # A warm-up of one iteration would never reach the full rate.
            scheduler.end = max(scheduler.end, scheduler.get('begin', 0) + 2)
        if 'milestones' in scheduler:
            scheduler.milestones = [scaled(x) for x in scheduler.milestones]
