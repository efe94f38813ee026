# Copyright (c) mmbombo contributors.
"""Numbers and hooks of a config that MMEngine does not look at, or too late.
"""
from typing import Any, Callable, NamedTuple

from mmengine.config import Config
from mmengine.registry import OPTIMIZERS

from .unknown_arguments import did_you_mean
from .user_errors import UserError


class _Rule(NamedTuple):
    """What a value must be."""
    text: str
    holds: Callable[[Any], bool]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


POSITIVE = _Rule('a positive whole number', lambda x: _is_whole(x) and x > 0)
WHOLE = _Rule('a whole number from 0 on', lambda x: _is_whole(x) and x >= 0)
NUMBER = _Rule(
    'a number from 0 on, as 1e-3 without quotes', lambda x: isinstance(
        x, (int, float)) and 0 <= x < float('inf'))
INTERVAL = _Rule('a whole number, -1 for never or no limit', _is_whole)
SEED = _Rule(WHOLE.text, lambda x: x is None or WHOLE.holds(x))
HOOKS = _Rule('a list of hooks',
              lambda x: x is None or isinstance(x, (list, tuple)))
ABSENT = object()
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
RULES = {
    'train_cfg.max_iters': POSITIVE,
    'train_cfg.max_epochs': POSITIVE,
    'train_cfg.val_interval': POSITIVE,
    'default_hooks.logger.interval': POSITIVE,
    'default_hooks.checkpoint.interval': INTERVAL,
    'default_hooks.checkpoint.max_keep_ckpts': INTERVAL,
    'optim_wrapper.accumulative_counts': POSITIVE,
    'optim_wrapper.optimizer.lr': NUMBER,
    'optim_wrapper.optimizer.weight_decay': NUMBER,
    'randomness.seed': SEED,
    'custom_hooks': HOOKS,
    **{f'{loader}.batch_size': POSITIVE
       for loader in LOADERS},
    **{f'{loader}.num_workers': WHOLE
       for loader in LOADERS},
}  # yapf: disable


#: What MMEngine's constructor of optimizers reads; of others it says nothing.
PARAMWISE = ('custom_keys', 'bias_lr_mult', 'bias_decay_mult',
             'norm_decay_mult', 'flat_decay_mult', 'dwconv_decay_mult',
             'dcn_offset_lr_mult', 'bypass_duplicate')


def check_values(cfg: Config) -> None:
    """Raise ``UserError`` for values that no training can have."""
    for key, rule in RULES.items():
        value = _find(cfg, key)
        if value is not ABSENT and not rule.holds(value):
            raise UserError(f'{key}={value!r} must be {rule.text}')
    check_optimizer(cfg.get('optim_wrapper') or {})
    hooks = cfg.get('default_hooks') or {}
    for name, hook in hooks.items():
        if isinstance(hook, dict) and 'type' not in hook:
            others = [x for x in hooks if x != name]
            raise UserError(f'default_hooks.{name} has no type'
                            f'{did_you_mean(name, others)}')


def check_optimizer(config: dict) -> None:
    """Raise ``UserError`` for an unknown optimizer, or parameter-wise options
    that nothing reads."""
    name = _find(config, 'optimizer.type')
    if isinstance(name, str) and OPTIMIZERS.get(name) is None:
        nearest = did_you_mean(name, OPTIMIZERS.module_dict)
        raise UserError(
            f'optim_wrapper.optimizer.type={name!r} is no optimizer{nearest}')
    options = config.get('paramwise_cfg') or {}
    unknown = sorted({*options} - {*PARAMWISE})
    if unknown and 'constructor' not in config:
        raise UserError(f'optim_wrapper.paramwise_cfg has {unknown[0]!r}, '
                        'which nothing reads'
                        f'{did_you_mean(unknown[0], PARAMWISE)}')


def _find(part: Any, key: str) -> Any:
    """The value of a key of a key, or that it is not there."""
    for name in key.split('.'):
        part = part.get(name, ABSENT) if hasattr(part, 'get') else ABSENT
    return part
