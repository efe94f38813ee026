# Copyright (c) mmbombo contributors.
import gc
import time
from datetime import timedelta

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

from .user_errors import UserError

#: Seconds that ranks are given to say that they, too, wait for another.
WAIT = 3


def prepare_cpu_processes(cfg: Config) -> None:
    """Let ``--launcher pytorch`` work on a machine without a GPU.

    MMEngine asks for a CUDA device per process. Without any, the processes
    that ``torchrun`` has started are connected by gloo instead, and the model
    is wrapped without device ids, and otherwise as MMEngine does by default or
    ``model_wrapper_cfg`` says. With a GPU, nothing changes.
    """
    if cfg.get('launcher') != 'pytorch' or torch.cuda.is_available():
        return
    if not dist.is_initialized():
        seconds = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout')
        dist.init_process_group(
            'gloo', timeout=seconds and timedelta(seconds=seconds))
    default = dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False))
    cfg.model_wrapper_cfg = dict(
        cfg.get('model_wrapper_cfg') or default, device_ids=None)


def name_silent_ranks(error: RuntimeError) -> None:
    """Say which ranks do not answer, if that is why a training fails.

    ``env_cfg.dist_cfg.timeout`` is how long they are waited for, in seconds.
    """
    if not dist.is_initialized() or 'imed out' not in str(error):
        return
    # whoever waits in vain comes here at about the same time
    store = dist.distributed_c10d._get_default_store()
    store.set(f'waits/{dist.get_rank()}', '')
    time.sleep(WAIT)
    silent = [
        x for x in range(dist.get_world_size())
        if not store.check([f'waits/{x}'])
    ]
    raise UserError(
        f'rank(s) {silent} did not answer within env_cfg.dist_cfg.timeout: '
        'stopped, swapped out or hung; the last checkpoint is whole, go on '
        'with --resume') from error


def leave_process_group() -> None:
    """Leave the process group, so that Python may end.

    The threads of gloo free the tensors of the last collective, for which they
    need the interpreter. One that asks for it while Python shuts down aborts
    the process (SIGABRT, "terminate called without an active exception"),
    after all work is done; without the group there are no such threads. NCCL
    asks for the same.

    To be called where the runner, and whatever else holds the wrapped model,
    is out of scope: the group lives as long as
    ``DistributedDataParallel``, which refers to itself.
    """
    if dist.is_initialized():
        gc.collect()
        dist.destroy_process_group()


def unwrapped(model: nn.Module) -> nn.Module:
    """The network itself, where a distributed run or test-time augmentation
    has wrapped it."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model
