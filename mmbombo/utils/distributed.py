# Copyright (c) mmbombo contributors.
import torch
import torch.distributed as dist
from mmengine.config import Config


def prepare_cpu_processes(cfg: Config) -> None:
    """Let ``--launcher pytorch`` work on a machine without a GPU.

    MMEngine asks for a CUDA device per process. Without any, the processes
    that ``torchrun`` has started are connected by gloo instead, and the model
    is wrapped without device ids, and otherwise as MMEngine does by default or
    ``model_wrapper_cfg`` says. With a GPU, nothing changes.

    Args:
        cfg (Config): Config with ``launcher``; changed in place.
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
