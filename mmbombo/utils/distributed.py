# Copyright (c) mmbombo contributors.
import gc

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.model import is_model_wrapper
from torch import nn


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
        dist.init_process_group('gloo')
    default = dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False))
    cfg.model_wrapper_cfg = dict(
        cfg.get('model_wrapper_cfg') or default, device_ids=None)


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
    """The network itself, where a distributed run has wrapped it."""
    return model.module if is_model_wrapper(model) else model
