# Copyright (c) mmbombo contributors.
"""Two and three gloo processes of which one has images that teach nothing."""
import math
import sys

import pytest
import torch
import torch.distributed as dist
from toolbox import (SIZE, add_weak_labels, gloo_process, make_sample,
                     tiny_model_cfg, without_statistics)
from torch.nn.parallel import DistributedDataParallel

from mmbombo.registry import MODELS

OBJECTS = {1: (8, 8, 60, 70), 2: (70, 30, 120, 110)}
WEAK_LOSSES = [
    dict(type='BoxForMaskLoss'),
    dict(type='BoxProjectionLoss'),
    dict(type='MaskForBoxLoss', ramp=0., predictor='self', score_thr=.01)
]


def boxes(seed, empty):
    """An image with boxes; without objects, if empty."""
    sample = add_weak_labels(
        make_sample(('bbox', ), seed=seed), {} if empty else OBJECTS)
    if empty:
        sample.gt_instances = sample.gt_instances[:0]
    return sample


def masks(seed, empty):
    """An image with a mask; without components, all ignored, if empty."""
    sample = add_weak_labels(
        make_sample(('sem_seg', ), seed=seed), {} if empty else OBJECTS)
    if empty:
        sample.gt_sem_seg.sem_seg.fill_(255)
        sample.gt_sem_seg.data = sample.gt_sem_seg.sem_seg
        sample.components.bboxes = torch.zeros(0, 4)
        sample.components.labels = torch.zeros(0).long()
    return sample


#: Whether the images with boxes, and those with masks, of a process are empty.
CASES = [[(False, False), (True, True)], [(True, False), (False, True)],
         [(True, True), (True, True)]]


def gradients(case, rank):
    """Of a step in which each process has two images."""
    torch.manual_seed(0)
    model = MODELS.build(tiny_model_cfg(weak_losses=WEAK_LOSSES))
    model.init_weights()
    wrapped = DistributedDataParallel(without_statistics(model.train()))
    samples = [
        make(2 * rank + kind, case[rank % len(case)][kind])
        for kind, make in enumerate((boxes, masks))
    ]
    images = torch.randn(2, 3, SIZE, SIZE,
                         generator=torch.Generator().manual_seed(rank))
    total, values = model.parse_losses(wrapped(images, samples, mode='loss'))
    total.backward()
    assert total.isfinite(), values
    return {
        name: p.grad.norm().item()
        for name, p in model.named_parameters() if p.requires_grad
    }


def worker(rank, world):
    with gloo_process(rank, world):
        for number, case in enumerate(CASES):
            found = [None] * world
            dist.all_gather_object(found, gradients(case, rank))
            assert all(x == found[0] for x in found), number
            bad = [k for k, v in found[0].items() if not math.isfinite(v)]
            assert not bad, (number, bad)
            assert any(found[0].values())


@pytest.mark.parametrize('world', [2, 3])
def test_they_step_on_alike(run_two_processes, world):
    run_two_processes(__file__, str(world), world=world)


if __name__ == '__main__':
    worker(*map(int, sys.argv[1:]))
