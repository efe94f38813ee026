# Copyright (c) mmbombo contributors.
"""Time a config's network beside what it competes with.

    python tools/analysis_tools/benchmark.py CONFIG joint_step inference

``joint_step``: a step without weak losses on images with boxes and images with
masks / the steps of a stock detector and a stock segmentor on theirs, with the
same parts and weights. ``inference``: both answers for images / those of the
two. ``weak_losses``: a step with the config's weak losses / one without, each
head on its own images. Images are noise, weights random.

Either side runs in turn (A B A B), so that a busy machine slows both. A row is
the median of the ratios of the pairs, less is better, and their quartiles.
"""
import argparse
import os
import sys
from copy import deepcopy
from pathlib import Path
from typing import Callable, Iterator, List

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / 'tools/model_converters'), str(ROOT / 'tests')]
WHAT = ('joint_step', 'inference', 'weak_losses')
OPTIONS = dict(
    batch=(4, 'images with boxes in a step, and images with masks'),
    size=(320, 'side of the images, a multiple of 64'),
    repeats=(20, 'A B pairs'),
    threads=(1, 'CPU threads'),
    device=('cpu', "'cpu' or 'cuda'"))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument('what', nargs='+', choices=WHAT)
    for name, (default, text) in OPTIONS.items():
        text = f'{text} (default: %(default)s)'
        parser.add_argument(
            f'--{name}', type=type(default), default=default, help=text)
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help waits for no library
    # before the libraries, as in tools/train.py
    os.environ.update(MALLOC_MMAP_MAX_='0', MALLOC_TRIM_THRESHOLD_='-1')

import time

import cv2
import numpy as np
import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope, init_default_scope
from provenance import commit, machine
from to_stock import LIBRARY, check_answers, stock_config, stock_weights
from toolbox import add_weak_labels, make_sample
from torch import nn

from mmbombo.registry import MODELS
from mmbombo.structures import BBOX, SEM_SEG
from mmbombo.utils import keep_freed_memory, user_errors
from mmbombo.utils.config_names import load_config


def build_ours(args: argparse.Namespace, weak: bool = False) -> nn.Module:
    """The network of the config, with the same random weights each time."""
    # initialization says a line for every weight
    MMLogger.get_instance('benchmark', log_level='ERROR')
    cfg = load_config(args.config)
    cfg.model.backbone.pop('init_cfg', None)
    if not weak:
        cfg.model.weak_losses = []
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.cfg = cfg
    return model.to(args.device)


def build_stock(model: nn.Module, task: str) -> nn.Module:
    """The library's network of a task with the weights of ours."""
    with DefaultScope.overwrite_default_scope(LIBRARY[task]):
        stock = MODELS.root.children[LIBRARY[task]].build(
            stock_config(model, task, {}).model)
    stock.load_state_dict(stock_weights(model, task, stock))
    device = next(model.parameters()).device
    check_answers(model.cpu().eval(), stock.eval(), task)
    model.to(device)
    return stock.to(device)


def draw(kinds_of_images: List[tuple], size: int) -> dict:
    """Noise with four objects, and what a loader's workers would add."""
    corners = [(x, y) for y in (2, size // 2 + 2) for x in (2, size // 2 + 2)]
    objects = {
        seg_id: (x, y, x + size // 2 - 4, y + size // 2 - 4)
        for seg_id, (x, y) in enumerate(corners, start=1)
    }
    samples = [
        add_weak_labels(make_sample(kinds, number, size), objects)
        for number, kinds in enumerate(kinds_of_images)
    ]
    inputs = torch.randint(
        256, (len(samples), 3, size, size),
        generator=torch.manual_seed(0)).byte()
    return dict(inputs=list(inputs), data_samples=samples)


def step_of(model: nn.Module, batch: dict) -> Callable:
    """A training step; so slow that the network stays as it is."""
    optim = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-7))
    model.train()
    return lambda: model.train_step(deepcopy(batch), optim)


@torch.no_grad()
def let_predict(model: nn.Module, batch: dict, score: float) -> None:
    """Let about 100 cells and classes of each image pass a score, as in a
    trained network, by the biases of the classification."""
    head = model.head('det')
    inputs = model.data_preprocessor(deepcopy(batch), True)['inputs']
    maps = head(model.extract_feat(inputs))[0]
    logits = torch.cat([scores.flatten() for scores in maps])
    count = min(100 * len(inputs), len(logits))
    shift = torch.logit(torch.tensor(score)) - logits.topk(count).values[-1]
    for module in head.modules():
        if (isinstance(module, nn.Conv2d)
                and module.out_channels == maps[0].shape[1]):
            module.bias += shift


def joint_step(args: argparse.Namespace) -> Iterator[tuple]:
    """One network learns both tasks, against two networks."""
    ours = build_ours(args)
    parts = [
        draw([(kind, )] * args.batch, args.size) for kind in (BBOX, SEM_SEG)
    ]
    stock = [
        step_of(build_stock(ours, task), part)
        for task, part in zip(LIBRARY, parts)
    ]
    both = {key: parts[0][key] + parts[1][key] for key in parts[0]}
    yield (f'joint_step, {2 * args.batch} images', step_of(ours, both),
           lambda: [step() for step in stock])


def inference(args: argparse.Namespace) -> Iterator[tuple]:
    """One network answers for both tasks, against two networks."""
    ours = build_ours(args).eval()
    for count in (1, 4 * args.batch):
        batch = draw([(BBOX, SEM_SEG)] * count, args.size)
        let_predict(ours, batch, ours.head('det').test_cfg.score_thr)
        stock = [build_stock(ours, task).eval() for task in LIBRARY]
        yield (f'inference, {count} images',
               lambda: ours.test_step(deepcopy(batch)),
               lambda: [model.test_step(deepcopy(batch)) for model in stock])


def weak_losses(args: argparse.Namespace) -> Iterator[tuple]:
    """What the config's weak losses add to a step."""
    kinds = [(BBOX, )] * args.batch + [(SEM_SEG, )] * args.batch
    batch = draw(kinds, args.size)
    ours, naive = build_ours(args, weak=True), build_ours(args)
    let_predict(ours, batch, .5)
    yield (f'weak_losses, {2 * args.batch} images', step_of(ours, batch),
           step_of(naive, batch))


def milliseconds(function: Callable, device: str) -> float:
    """How long a call takes, with what it told the device to do."""
    wait = torch.cpu if device == 'cpu' else torch.cuda
    wait.synchronize()
    start = time.perf_counter()
    function()
    wait.synchronize()
    return (time.perf_counter() - start) * 1e3


def measure(args: argparse.Namespace, name: str, *sides: Callable) -> str:
    """A row; the first pair warms up."""
    pairs = np.array([[milliseconds(side, args.device) for side in sides]
                      for _ in range(1 + args.repeats)])[1:]
    low, ratio, high = np.percentile(pairs[:, 0] / pairs[:, 1], (25, 50, 75))
    a, b = np.median(pairs, axis=0)
    return (f'{name}: {ratio:.3f} ({low:.3f} to {high:.3f}), '
            f'{a:,.1f} / {b:,.1f} ms, n = {len(pairs)}')


@user_errors()
def main() -> None:
    args = parse_args()
    init_default_scope('mmbombo')
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    print(f'commit {commit()}, {args.config}, {args.threads} thread(s), load '
          f'{os.getloadavg()[0]:.1f}, {machine(args.device)}')
    for what in args.what:
        for row in globals()[what](args):
            with torch.set_grad_enabled(what != 'inference'):
                print(measure(args, *row), flush=True)


if __name__ == '__main__':
    main()
