# Copyright (c) mmbombo contributors.
"""Parts of ``gpu_check.py`` that no other tool measures."""
import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('what', choices=['copies', 'loader'])
    parser.add_argument('--config', required=True)
    parser.add_argument('--device', default='cuda')
    parser.add_argument('--size', type=int, default=320)
    parser.add_argument('--out', type=Path, required=True)
    return parser.parse_args()


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.profiler import ProfilerActivity, profile

from mmbombo.registry import HOOKS

#: What makes the host wait for a device, or moves data between them.
WAITS = ('aten::_local_scalar_dense', 'aten::nonzero', 'cudaStreamSynchronize',
         'cudaDeviceSynchronize', 'cudaEventSynchronize', 'Memcpy HtoD',
         'Memcpy DtoH')


@HOOKS.register_module()
class FastStepHook(Hook):
    """Channels last, and compiled backbone, neck and heads."""

    def __init__(self, channels_last=False, compiled=False):
        self.channels_last, self.compiled = channels_last, compiled

    def before_train(self, runner):
        """Change the model in place."""
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        if self.channels_last:
            model.to(memory_format=torch.channels_last)
        if self.compiled:
            # on a CPU compiling takes minutes: that it is traced is enough
            on_gpu = torch.cuda.is_available()
            backend = 'inductor' if on_gpu else 'eager'
            model.extract_feat = torch.compile(
                model.extract_feat, backend=backend)
            for head in model.task_heads.values():
                head.forward = torch.compile(head.forward, backend=backend)


def copies(args: argparse.Namespace) -> dict:
    """Waits and copies of a BoMBo step and of a step without weak losses."""
    tools = Path(__file__).resolve().parents[1] / 'analysis_tools'
    sys.path.insert(0, str(tools))
    from benchmarks.bombo import bombo_training
    from benchmarks.networks import Training, build_naive_all, own_batch
    options = argparse.Namespace(
        model='mobilenetv2_fpn-gfl',
        device=args.device,
        size=args.size,
        batch=2)
    naive = Training(build_naive_all(options), own_batch(options))
    sides = dict(bombo=bombo_training(options), naive=naive)
    activities = [ProfilerActivity.CPU]
    if args.device != 'cpu':
        activities.append(ProfilerActivity.CUDA)
    found = {}
    for name, step in sides.items():
        step()
        with profile(activities=activities) as profiler:
            step()
        found[name] = Counter({
            wait:
            sum(event.count for event in profiler.key_averages()
                if event.key.startswith(wait))
            for wait in WAITS
        })
    return found


def loader(args: argparse.Namespace) -> dict:
    """Images per second that the workers of the config deliver."""
    cfg = Config.fromfile(args.config)
    init_default_scope(cfg.default_scope)
    batches = iter(Runner.build_dataloader(cfg.train_dataloader, seed=0))
    # the workers start, and fill their queues
    for _ in range(3):
        count = len(next(batches)['inputs'])
    number, start = 20, time.perf_counter()
    for _ in range(number):
        next(batches)
    return dict(
        images_per_second=round(number * count / (time.perf_counter() - start),
                                1),
        batch=count,
        workers=cfg.train_dataloader.num_workers)


if __name__ == '__main__':
    options = parse_args()
    measure = dict(copies=copies, loader=loader)[options.what]
    options.out.write_text(json.dumps(measure(options)))
