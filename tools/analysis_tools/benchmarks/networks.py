# Copyright (c) mmbombo contributors.
"""Our networks at work, images for them, and floors."""
import gc
from argparse import Namespace
from itertools import accumulate
from typing import Callable, Dict, List, Sequence

import torch
from get_flops import build_model, complexity
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.profiler._utils import traverse_dfs

from mmbombo.models.weak_losses import BaseWeakLoss
from mmbombo.structures import BBOX, SEM_SEG
from mmbombo.testing import add_weak_labels, make_sample
from .stock import network_cfg


def build_ours(options: Namespace,
               weak_losses: Sequence[dict] = ()) -> nn.Module:
    """A :class:`MultiTaskDetector` with random weights, always the same."""
    # initialization says a line for every weight
    MMLogger.get_instance('benchmark', log_level='ERROR')
    cfg = Config(dict(model=network_cfg(options.model)))
    cfg.model.weak_losses = list(weak_losses)
    torch.manual_seed(0)
    model = build_model(cfg)
    model.init_weights()
    return model.to(options.device)


class HeadOnAllImages(BaseWeakLoss):
    """No loss, but the head runs on the images that it learns nothing from."""

    def __init__(self, task: str, source_kind: str) -> None:
        super().__init__()
        self.name = f'all_{task}'
        self.task, self.source_kind = task, source_kind

    def loss(self, ctx, images) -> dict:
        """The images are planned, which makes the head run."""
        return {}


def build_naive_all(options: Namespace) -> nn.Module:
    """Naive partial training with both heads on all images."""
    model = build_ours(options)
    model.weak_losses.append(HeadOnAllImages('det', SEM_SEG))
    model.weak_losses.append(HeadOnAllImages('seg', BBOX))
    return model


def fresh(batch: dict) -> dict:
    """A batch that a preprocessor may change; the tensors are the same."""
    samples = []
    for sample in batch['data_samples']:
        copy = sample.clone()
        for key, field in sample.items():
            setattr(copy, key, field.clone())
        samples.append(copy)
    return dict(inputs=list(batch['inputs']), data_samples=samples)


class Training:
    """A network with an optimizer; a call is a step on a batch."""

    def __init__(self, model: nn.Module, batch: dict) -> None:
        self.model, self.batch = model.train(), batch
        # so slow that the network stays as it is
        self.optim = OptimWrapper(
            torch.optim.AdamW(model.parameters(), lr=1e-7, weight_decay=0.),
            clip_grad=dict(max_norm=10.))

    def __call__(self) -> dict:
        """One step; its log."""
        return self.model.train_step(fresh(self.batch), self.optim)


@torch.no_grad()
def let_predict(model: nn.Module, batch: dict, score: float) -> None:
    """Let about 100 cells and classes of each image pass a score, as in a
    trained network, by the biases of the classification."""
    head = model.task_heads.det
    inputs = model.data_preprocessor(fresh(batch), True)['inputs']
    maps = head(model.extract_feat(inputs))[0]
    logits = torch.cat([scores.flatten() for scores in maps])
    count = min(100 * len(inputs), len(logits))
    shift = torch.logit(torch.tensor(score)) - logits.topk(count).values[-1]
    for module in head.modules():
        if isinstance(module,
                      nn.Conv2d) and module.out_channels == maps[0].shape[1]:
            module.bias += shift


def weights_in_bytes(model: nn.Module) -> int:
    """Parameters and buffers."""
    return sum(x.nbytes for x in (*model.parameters(), *model.buffers()))


def peak_memory(function: Callable, device: str, resident: int) -> int:
    """Largest number of bytes held at once in the second of two calls.

    On a GPU what PyTorch's allocator has seen. A CPU has no such counter:
    what is allocated during the call is taken from the profiler, and what was
    held before, ``resident``, from the caller.
    """
    function()
    # networks hold themselves in circles; a GPU's counter sees what is left
    gc.collect()
    if device != 'cpu':
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        function()
        return resident + torch.cuda.max_memory_allocated(device) - held
    with profile(
            activities=[ProfilerActivity.CPU],
            profile_memory=True) as profiler:
        function()
    tree = profiler.profiler.kineto_results.experimental_event_tree()
    changes = sorted((event.start_time_ns, event.extra_fields.alloc_size)
                     for event in traverse_dfs(tree)
                     if event.name == '[memory]')
    return resident + max(accumulate(size for _, size in changes))


def floors(options: Namespace) -> Dict[str, float]:
    """Ratios of multiply-adds: 'inference', one network against two, and
    'bombo', a step against one in which heads run on their own half."""
    size = (options.size, options.size)
    costs = complexity(build_ours(options), size)
    cost = {part.name.split('.')[-1]: part.multiply_adds for part in costs}
    trunk, heads = cost['backbone'] + cost['neck'], cost['det'] + cost['seg']
    return dict(
        inference=(trunk + heads) / (2 * trunk + heads),
        bombo=(trunk + heads) / (trunk + heads / 2))


def own_batch(options: Namespace) -> dict:
    """``options.batch`` images with boxes, then as many with masks."""
    kinds = [(BBOX, )] * options.batch + [(SEM_SEG, )] * options.batch
    return draw(options, kinds)


def draw(options: Namespace, kinds_of_images: List[tuple]) -> dict:
    """Noise, with what a loader's workers would hand over for the annotation
    kinds of each image: four components, the first two of one class."""
    size, half = options.size, options.size // 2
    corners = [(x, y) for y in (2, half + 2) for x in (2, half + 2)]
    objects = {
        seg_id: (x, y, x + half - 4, y + half - 4)
        for seg_id, (x, y) in enumerate(corners, start=1)
    }
    samples = []
    for number, kinds in enumerate(kinds_of_images):
        sample = make_sample(kinds, seed=number, size=size)
        add_weak_labels(sample, objects)
        if 'components' in sample:
            sample.components.labels[1] = sample.components.labels[0]
        boxes = sample.get('gt_instances', {})
        pairs = zip(boxes.get('bboxes', ()), boxes.get('labels', ()))
        instances = [
            dict(bbox=box.tolist(), bbox_label=int(label), ignore_flag=0)
            for box, label in pairs
        ]
        sample.set_metainfo(dict(sample_idx=number, instances=instances))
        samples.append(sample)
    torch.manual_seed(0)
    inputs = torch.randint(256, (len(samples), 3, size, size)).byte()
    return dict(inputs=list(inputs), data_samples=samples)
